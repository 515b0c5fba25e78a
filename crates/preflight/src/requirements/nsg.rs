//! Flows that network security groups and admin rules must let through.

use network_policy::{Contract, Direction, Proof, ProofVerdict};

use super::{ANY_SYSTEM, BASE, BROUGHT, GUIDANCE, ISOLATED, LINUX, NETWORKING, PRIVATE_LINK, WINDOWS};
use crate::finding::Asked;
use crate::requirement::conclude;
use crate::{Change, Check, FlowSpec, Hop, Outcome, Party, Place, Repair, Requirement, Severity, Subject};

const BUILD: Party = Party::Subnet(Place::Build);
const CONTAINER: Party = Party::Subnet(Place::Container);
const PROBE: Party = Party::Tag("AzureLoadBalancer");
const INTERNET: Party = Party::Tag("Internet");

const fn into_build(from: Party, port: u16) -> Check {
    let to = BUILD;
    Check::Flow(FlowSpec { at: Place::Build, direction: Direction::Inbound, from, to, port, narrower: &[] })
}

const fn out_of(at: Place, to: Party, port: u16, narrower: &'static [&'static str]) -> Check {
    let from = Party::Subnet(at);
    Check::Flow(FlowSpec { at, direction: Direction::Outbound, from, to, port, narrower })
}

const PLAIN: Requirement =
    Requirement { topologies: PRIVATE_LINK, systems: LINUX, source: NETWORKING, ..BASE };

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "nsg.inbound.probe-to-linux-proxy",
        title: "the load balancer's health probe reaches the proxy VM (60001)",
        hop: Some(Hop::TO_PROXY),
        check: into_build(PROBE, 60001),
        ..PLAIN
    },
    Requirement {
        id: "nsg.inbound.probe-to-windows-proxy",
        title: "the load balancer's health probe reaches the proxy VM (60000)",
        systems: WINDOWS,
        hop: Some(Hop::TO_PROXY),
        check: into_build(PROBE, 60000),
        ..PLAIN
    },
    Requirement {
        id: "nsg.inbound.private-link-to-linux-proxy",
        title: "the private link service reaches the proxy VM (60001)",
        hop: Some(Hop::TO_PROXY),
        check: into_build(BUILD, 60001),
        ..PLAIN
    },
    Requirement {
        id: "nsg.inbound.private-link-to-windows-proxy",
        title: "the private link service reaches the proxy VM (60000)",
        systems: WINDOWS,
        hop: Some(Hop::TO_PROXY),
        check: into_build(BUILD, 60000),
        ..PLAIN
    },
    Requirement {
        id: "nsg.inbound.ssh-to-build-vm",
        title: "the proxy VM reaches the build VM (SSH 22), inbound",
        hop: Some(Hop::PROXY_TO_BUILD),
        check: into_build(BUILD, 22),
        ..PLAIN
    },
    Requirement {
        id: "nsg.inbound.winrm-to-build-vm",
        title: "the proxy VM reaches the build VM (WinRM 5986), inbound",
        systems: WINDOWS,
        hop: Some(Hop::PROXY_TO_BUILD),
        check: into_build(BUILD, 5986),
        ..PLAIN
    },
    Requirement {
        id: "nsg.outbound.ssh-to-build-vm",
        title: "the proxy VM reaches the build VM (SSH 22), outbound",
        hop: Some(Hop::PROXY_TO_BUILD),
        check: out_of(Place::Build, BUILD, 22, &[]),
        ..PLAIN
    },
    Requirement {
        id: "nsg.outbound.winrm-to-build-vm",
        title: "the proxy VM reaches the build VM (WinRM 5986), outbound",
        systems: WINDOWS,
        hop: Some(Hop::PROXY_TO_BUILD),
        check: out_of(Place::Build, BUILD, 5986, &[]),
        ..PLAIN
    },
    Requirement {
        id: "nsg.outbound.https",
        title: "the build subnet reaches Azure's control plane and storage (443)",
        systems: ANY_SYSTEM,
        hop: Some(Hop::OUT_OF_BUILD),
        check: out_of(Place::Build, INTERNET, 443, &["Storage", "AzureResourceManager"]),
        ..PLAIN
    },
    Requirement {
        id: "nsg.outbound.http",
        title: "the build subnet reaches the distribution's packages (80)",
        topologies: BROUGHT,
        severity: Severity::Advised,
        source: GUIDANCE,
        hop: Some(Hop::OUT_OF_BUILD),
        check: out_of(Place::Build, INTERNET, 80, &[]),
        ..PLAIN
    },
    Requirement {
        id: "nsg.inbound.ssh-from-container",
        title: "the container instance reaches the build VM (SSH 22), inbound",
        topologies: ISOLATED,
        hop: Some(Hop::CONTAINER_TO_BUILD),
        check: into_build(CONTAINER, 22),
        ..PLAIN
    },
    Requirement {
        id: "nsg.inbound.winrm-from-container",
        title: "the container instance reaches the build VM (WinRM 5986), inbound",
        topologies: ISOLATED,
        systems: WINDOWS,
        hop: Some(Hop::CONTAINER_TO_BUILD),
        check: into_build(CONTAINER, 5986),
        ..PLAIN
    },
    Requirement {
        id: "nsg.outbound.container-ssh",
        title: "the container instance reaches the build VM (SSH 22), outbound",
        topologies: ISOLATED,
        hop: Some(Hop::CONTAINER_TO_BUILD),
        check: out_of(Place::Container, BUILD, 22, &[]),
        ..PLAIN
    },
    Requirement {
        id: "nsg.outbound.container-winrm",
        title: "the container instance reaches the build VM (WinRM 5986), outbound",
        topologies: ISOLATED,
        systems: WINDOWS,
        hop: Some(Hop::CONTAINER_TO_BUILD),
        check: out_of(Place::Container, BUILD, 5986, &[]),
        ..PLAIN
    },
    Requirement {
        id: "nsg.outbound.container-https",
        title: "the container instance reaches its image, Azure's control plane and storage (443)",
        topologies: ISOLATED,
        systems: ANY_SYSTEM,
        hop: Some(Hop::OUT_OF_CONTAINER),
        check: out_of(
            Place::Container,
            INTERNET,
            443,
            &["Storage", "AzureResourceManager", "MicrosoftContainerRegistry", "AzureFrontDoor.FirstParty"],
        ),
        ..PLAIN
    },
    Requirement {
        id: "nsg.outbound.container-smb",
        title: "the container instance mounts its Azure Files share (SMB 445)",
        topologies: ISOLATED,
        systems: ANY_SYSTEM,
        hop: Some(Hop::OUT_OF_CONTAINER),
        check: out_of(Place::Container, INTERNET, 445, &["Storage"]),
        ..PLAIN
    },
    Requirement {
        id: "nsg.outbound.image-endpoints",
        title: "the build subnet reaches what the image's steps fetch",
        topologies: BROUGHT,
        systems: ANY_SYSTEM,
        source: GUIDANCE,
        hop: Some(Hop::OUT_OF_BUILD),
        check: Check::Steps(image_endpoints),
        ..PLAIN
    },
    Requirement {
        id: "nsg.outbound.custom-dns",
        title: "the build subnet reaches the virtual network's own DNS servers (53)",
        topologies: BROUGHT,
        systems: ANY_SYSTEM,
        severity: Severity::Advised,
        assumption: Some(
            "traffic to DNS servers other than Azure's own is filtered by network security groups",
        ),
        hop: Some(Hop::OUT_OF_BUILD),
        check: Check::Ask(custom_dns),
        ..PLAIN
    },
];

/// One proof for each port that the endpoints have; the first that fails is shown, all are named.
fn image_endpoints(subject: &Subject<'_>) -> Asked {
    let (site, from) = (subject.site(Place::Build)?, subject.party(BUILD)?);
    let mut ports: Vec<_> = subject.endpoints.iter().map(|endpoint| endpoint.port).collect();
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() {
        return Ok(Outcome::pass("the image's steps name no endpoint of their own"));
    }
    let mut worst: Option<(u8, Contract, Proof)> = None;
    let (mut denied, mut refuted) = (Vec::new(), Vec::new());
    for port in &ports {
        let Ok(contract) = Contract::parse(&format!("allow outbound tcp {from} -> Internet:{port}")) else {
            continue;
        };
        let proof = site.groups.prove(&contract);
        let rank = match proof.verdict {
            ProofVerdict::Proved => continue,
            ProofVerdict::Depends => 0,
            ProofVerdict::Refuted => 1,
        };
        denied.push(format!("{port} ({})", hosts(subject, *port)));
        if rank == 1 {
            refuted.push(Change::Flow(Place::Build, contract.clone()));
        }
        if worst.as_ref().is_none_or(|(before, ..)| *before < rank) {
            worst = Some((rank, contract, proof));
        }
    }
    let Some((_, contract, proof)) = worst else {
        let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        return Ok(Outcome::pass(format!("outbound TCP {ports} is proved for every packet")));
    };
    let mut outcome = conclude(subject, Place::Build, site, contract, proof);
    if let Some(repair) = &mut outcome.repair {
        repair.changes = refuted;
    }
    let detail = format!("{}; ports in question: {}", outcome.detail, denied.join(", "));
    Ok(Outcome { detail, ..outcome })
}

/// Who is on a port.
fn hosts(subject: &Subject<'_>, port: u16) -> String {
    let on = subject.endpoints.iter().filter(|endpoint| endpoint.port == port);
    on.map(|endpoint| endpoint.name.to_string()).collect::<Vec<_>>().join(", ")
}

fn custom_dns(subject: &Subject<'_>) -> Asked {
    let site = subject.site(Place::Build)?;
    let servers = &site.groups.policy().context.dns_servers;
    if servers.is_empty() {
        return Ok(Outcome::pass("the virtual network uses Azure's DNS, which no rule can refuse"));
    }
    let list =
        |servers: &[std::net::IpAddr]| servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let refused = site.groups.unreachable_dns_servers();
    if refused.is_empty() {
        return Ok(Outcome::pass(format!("{} answer on port 53 as far as the groups go", list(servers))));
    }
    let detail = format!(
        "the virtual network asks {} for names, and no rule lets the build subnet reach them on port 53, UDP and TCP",
        list(&refused)
    );
    let repair = Repair::in_words(format!("let {} through on port 53, UDP and TCP", list(&refused)));
    Ok(Outcome::fail(detail).repaired(repair))
}
