//! The network rules that a question is about: those of an environment, or a bare network security group.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use network_policy::{Address, Context, NetworkPolicy, NetworkSecurityGroup};

use crate::errors::{Category, Failure, Problem};
use crate::network::{self, Network};

/// Where the rules are.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Network rules")]
#[group(skip)]
pub struct Arguments {
    /// An environment file (TOML), or any single document it can name, as Azure's JSON
    #[arg(long, value_name = "FILE")]
    environment: Option<PathBuf>,
    /// A network security group alone, as Azure's JSON
    #[arg(long, value_name = "FILE", conflicts_with = "environment")]
    nsg: Option<PathBuf>,
    /// With --nsg: a prefix of the virtual network; all of them and 168.63.129.16 are the whole `VirtualNetwork` tag
    #[arg(long, value_name = "CIDR", value_parser = prefix, conflicts_with = "environment")]
    virtual_network: Vec<IpNet>,
    /// The build subnet, such as 10.241.0.0/28
    #[arg(long, value_name = "CIDR", value_parser = prefix, conflicts_with = "environment")]
    subnet: Option<IpNet>,
    /// Azure's weekly file of service tags: without it, what a tag such as Storage holds is not known
    #[arg(long, value_name = "FILE")]
    service_tags: Option<PathBuf>,
}

impl Arguments {
    /// The build subnet that was named.
    pub fn subnet(&self) -> Option<IpNet> {
        self.subnet
    }

    /// Whether rules were named at all.
    pub fn given(&self) -> bool {
        self.environment.is_some() || self.nsg.is_some()
    }

    /// Reads the rules.
    ///
    /// # Errors
    /// When none were named, a file is wrong, or the subnet is not in the virtual network.
    pub fn load(&self) -> Result<Network, Failure> {
        let Network { mut policy, mut warnings, is_effective } = match (&self.environment, &self.nsg) {
            (Some(file), _) => network::open(file)?,
            (None, Some(file)) => self.bare_group(file)?,
            (None, None) => {
                return Err(Problem::new(Category::Input, "which rules? none were named")
                    .hint("name an environment with --environment FILE, or a group with --nsg FILE")
                    .into());
            }
        };
        if let Some(file) = &self.service_tags {
            policy.context.tags = network::service_tags(file)?.into();
        }
        warnings.extend([&policy.subnet_nsg, &policy.nic_nsg].into_iter().flatten().flat_map(overlaps));
        Ok(Network { policy, warnings, is_effective })
    }

    /// The group, with nothing around it: no peering, gateway, route or firewall exists.
    fn bare_group(&self, file: &Path) -> Result<Network, Failure> {
        let Network { policy: read, mut warnings, is_effective } = network::open(file)?;
        let wrong =
            |message: String, hint: &str| Failure::from(Problem::new(Category::Input, message).hint(hint));
        if read.subnet_nsg.is_none() && read.nic_nsg.is_none() {
            let message = format!("{} holds no network security group", file.display());
            return Err(wrong(message, "name another document with --environment FILE"));
        }
        if let (Some(subnet), false) = (self.subnet, self.virtual_network.is_empty())
            && !self.virtual_network.iter().any(|prefix| prefix.contains(&subnet))
        {
            let message = format!("the subnet {subnet} is not in the virtual network");
            return Err(wrong(
                message,
                "give every prefix of the virtual network, one --virtual-network CIDR each",
            ));
        }
        if read.firewall.is_some() || read.routes.is_some() {
            let name = file.display();
            warnings.push(format!(
                "{name}: the firewall and the routes in it are left out: --nsg asks about the group alone"
            ));
        }
        let context = Context {
            virtual_network: self.virtual_network.clone(),
            build_subnet: self.subnet,
            ..Context::default()
        };
        let NetworkPolicy { subnet_nsg, nic_nsg, .. } = read;
        let policy = NetworkPolicy { subnet_nsg, nic_nsg, context, ..NetworkPolicy::default() };
        Ok(Network { policy, warnings, is_effective })
    }
}

/// A prefix without host bits.
fn prefix(text: &str) -> Result<IpNet, String> {
    match Address::parse(text) {
        Ok(Address::Prefix(prefix)) => Ok(prefix),
        Ok(_) => Err("a CIDR prefix such as 10.241.0.0/24 is expected".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Prefixes of one list of a rule that lie within others of the list, which Azure refuses or ignores.
fn overlaps(group: &NetworkSecurityGroup) -> Vec<String> {
    let mut found = Vec::new();
    for rule in group.rules() {
        for (side, list) in [("source", &rule.source), ("destination", &rule.destination)] {
            for (inner, outer) in nested(list) {
                found.push(format!(
                    "{}: rule '{}': {side} {inner} lies within {outer}, which the rule names too",
                    group.name(),
                    rule.name
                ));
            }
        }
    }
    found
}

/// Pairs of a prefix and the one before it in the order of addresses that holds it: prefixes nest or lie apart.
fn nested(list: &[Address]) -> Vec<(IpNet, IpNet)> {
    let mut prefixes: Vec<_> = list
        .iter()
        .filter_map(|address| if let Address::Prefix(prefix) = address { Some(*prefix) } else { None })
        .collect();
    let order = |prefix: &IpNet| -> (IpAddr, u8) { (prefix.network(), prefix.prefix_len()) };
    prefixes.sort_by_key(order);
    let (mut outer, mut found): (Option<IpNet>, _) = (None, Vec::new());
    for prefix in prefixes {
        match outer {
            Some(holder) if holder.contains(&prefix) => found.push((prefix, holder)),
            _ => outer = Some(prefix),
        }
    }
    found
}
