//! A gateway with test names, and sandboxes behind it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use egress_gateway::{Config, Connection, Decide, EgressRecord, Gateway};
use libtest_mimic::Failed;
use network_policy::{Decision, Endpoint, Flow, Layer, NetworkPolicy, Verdict};
use sandbox::{Entry, Exit, IdMap, Spec};

/// Gives every flow the same verdict.
pub struct Always(pub Verdict);

impl Decide for Always {
    fn decide(&self, _: &Flow) -> Decision {
        self.may_resolve("")
    }

    fn may_resolve(&self, _: &str) -> Decision {
        Decision {
            verdict: self.0,
            layer: Layer::FirewallNetwork,
            resource: "test".to_owned(),
            rule: "always".to_owned(),
        }
    }
}

/// The default policy of a build with these entries on its allow list.
pub fn allow(entries: &[&str]) -> Arc<dyn Decide> {
    let entries: Vec<Endpoint> = entries.iter().map(|text| Endpoint::parse(text).unwrap()).collect();
    Arc::new(NetworkPolicy::default_for(&entries).compile())
}

/// A configuration in which `names` live at these addresses of this machine.
pub fn config(policy: Arc<dyn Decide>, names: &[(&str, SocketAddr)]) -> Config {
    let mut config = Config::new(policy, Ipv4Addr::new(10, 0, 0, 4));
    config.test_names = names.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect::<BTreeMap<_, _>>();
    config
}

/// Runs one job in a sandbox behind a gateway; its output and the record.
pub fn run(config: Config, job: &str, input: &str) -> Result<(String, EgressRecord), Failed> {
    let gateway = Gateway::start(config)?;
    let output = run_behind(&gateway, 1, job, input)?;
    Ok((output, gateway.record()))
}

/// Runs one job as the given step of a gateway's build.
pub fn run_behind(gateway: &Gateway, step: u32, job: &str, input: &str) -> Result<String, Failed> {
    let spec = Spec {
        network: true,
        ..Spec::new(IdMap::choose(&[])?.id_map, Entry::Job { name: job.into(), input: input.into() })
    };
    let mut running = sandbox::spawn(&spec)?;
    let session = gateway.attach(step, running.take_sockets().ok_or("the sandbox has no sockets")?)?;
    let exit = running.wait()?;
    session.finish();
    match exit {
        Exit::Job(output) => Ok(output),
        other => Err(format!("the job ended with {other:?}").into()),
    }
}

/// The only row of the record that fits.
pub fn only(record: &EgressRecord, fits: impl Fn(&Connection) -> bool) -> Connection {
    let found: Vec<&Connection> = record.connections.iter().filter(|row| fits(row)).collect();
    assert_eq!(found.len(), 1, "{record:#?}");
    found[0].clone()
}
