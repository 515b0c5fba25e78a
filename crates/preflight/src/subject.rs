//! What requirements are checked against.

use access::Access;
use arm::{Environment, Inventory, Resource, field};
use document::{Kind, Span, Value};
use image_template::ImageTemplate;
use ipnet::IpNet;
use network_policy::{CompiledPolicy, Decider, Endpoint, Layer, NetworkPolicy, Reading};

use crate::finding::Outcome;
use crate::{Cloud, Os, Party, Place, Topology};

/// An image and the environment it is to be built in.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The shape of the build's network.
    pub topology: Topology,
    /// The system of the image.
    pub os: Os,
    /// What documents tell, where any were given.
    pub network: Option<Network<'a>>,
    /// The image template, where one was given.
    pub template: Option<&'a ImageTemplate>,
    /// What its steps must reach.
    pub endpoints: Vec<Endpoint>,
    /// Object id of whoever deploys the template, where it was given.
    pub deployer: Option<String>,
}

/// What documents tell.
#[derive(Debug)]
pub struct Network<'a> {
    /// The environment file.
    pub environment: &'a Environment,
    /// All resources.
    pub inventory: &'a Inventory,
    /// Who may do what.
    pub access: Access,
    /// The build VM's subnet.
    pub build: Option<Site<'a>>,
    /// The container instance's subnet.
    pub container: Option<Site<'a>>,
}

/// A subnet and the rules that hold there.
#[derive(Debug)]
pub struct Site<'a> {
    /// The subnet, where a document describes it.
    pub subnet: Option<&'a Resource>,
    /// The virtual network around it.
    pub network: Option<&'a Resource>,
    /// Its prefix.
    pub prefix: Option<IpNet>,
    /// Admin rules and network security groups alone.
    pub groups: CompiledPolicy,
    /// Routes alone.
    pub routes: CompiledPolicy,
    /// Routes and firewall.
    pub egress: CompiledPolicy,
}

impl<'a> Network<'a> {
    /// Takes what is needed from an environment whose build subnet, if it says one, is `reading`'s, and from that of
    /// its container instance subnet.
    pub fn new(
        environment: &'a Environment,
        inventory: &'a Inventory,
        build: Option<Reading>,
        container: Option<Reading>,
    ) -> Self {
        let site = |reading: Reading| Site::new(inventory, &reading);
        Self {
            environment,
            inventory,
            access: Access::read(inventory),
            build: build.map(site),
            container: container.map(site),
        }
    }
}

impl<'a> Network<'a> {
    /// A subnet of the build, where documents tell of its network.
    pub fn site(&self, place: Place) -> Option<&Site<'a>> {
        match place {
            Place::Build => self.build.as_ref(),
            Place::Container => self.container.as_ref(),
        }
    }
}

impl<'a> Site<'a> {
    /// What security rules can repair is repaired in.
    pub fn past_routes(&self) -> NetworkPolicy {
        self.groups.policy().past_routes()
    }

    fn new(inventory: &'a Inventory, reading: &Reading) -> Self {
        use Layer::{Admin, FirewallApplication, FirewallNetwork, NicNsg, Route, SubnetNsg};
        let subnet = reading.subnet.as_ref().and_then(|id| inventory.find(id));
        let whole = reading.policy.compile();
        Self {
            subnet,
            network: subnet.and_then(|subnet| inventory.find(&subnet.id.parent()?)),
            prefix: reading.policy.context.build_subnet,
            groups: whole.clone().only(&[Admin, NicNsg, SubnetNsg]),
            routes: whole.clone().only(&[Route]),
            egress: whole.only(&[Route, FirewallNetwork, FirewallApplication]),
        }
    }
}

impl<'a> Subject<'a> {
    /// A subnet of the build, or why it cannot be asked.
    pub(crate) fn site(&self, place: Place) -> Result<&Site<'a>, Outcome> {
        let missing = || Outcome::skipped(format!("no document describes {}", place.name()));
        let network = self.network.as_ref().ok_or_else(missing)?;
        network.site(place).ok_or_else(|| match network.inventory.linked() {
            // It may describe the subnet, or change it.
            Some(link) => Outcome::undecided(link.message.clone()).at(link.span),
            None => missing(),
        })
    }

    /// The resource of a subnet of the build, or why it cannot be asked.
    pub(crate) fn subnet(&self, place: Place) -> Result<&'a Resource, Outcome> {
        let subnet = self.site(place)?.subnet;
        subnet.ok_or_else(|| Outcome::skipped(format!("no document describes {}", place.name())))
    }

    /// An end of a flow as contracts write it, or what is missing.
    pub(crate) fn party(&self, party: Party) -> Result<String, Outcome> {
        match party {
            Party::Tag(tag) => Ok(tag.to_owned()),
            Party::Subnet(place) => {
                self.site(place)?.prefix.map(|prefix| prefix.to_string()).ok_or_else(|| {
                    Outcome::undecided(format!("the address prefix of {} is not known", place.name()))
                })
            }
        }
    }

    /// The inventory, or that there is none.
    pub(crate) fn inventory(&self) -> Result<&'a Inventory, Outcome> {
        let missing = || Outcome::skipped("no document of an environment was given");
        self.network.as_ref().map(|network| network.inventory).ok_or_else(missing)
    }

    /// Region of the build: the environment's, else the template's.
    pub(crate) fn location(&self) -> Option<String> {
        let environment = self.network.as_ref().and_then(|network| network.environment.location.as_ref());
        let own = self.template.and_then(|template| template.location.known());
        environment.map(|named| named.text.clone()).or_else(|| own.map(str::to_owned))
    }

    /// The cloud that the build is in; the public one where nobody says the region.
    pub(crate) fn cloud(&self) -> Cloud {
        self.location().map_or_else(Cloud::default, |region| Cloud::of_region(&region))
    }

    /// Where a rule or route that decided stands.
    pub(crate) fn place_of(&self, by: &Decider) -> Option<Span> {
        let kind = match by.layer {
            Layer::NicNsg | Layer::SubnetNsg => "securityRules",
            Layer::Route => "routes",
            _ => return None,
        };
        let inventory = self.network.as_ref()?.inventory;
        let holder = inventory.resources().find(|resource| resource.label() == by.resource)?;
        let named = |child: &&Resource| child.id.name().eq_ignore_ascii_case(&by.rule);
        let rule = inventory.children(&holder.id, kind).find(named);
        Some(rule.unwrap_or(holder).value.span)
    }
}

/// A text of a resource, or what is missing.
pub(crate) fn text<'v>(resource: &'v Resource, name: &str) -> Result<Option<&'v str>, Outcome> {
    known(resource, name).map(|found| found.and_then(Value::as_str))
}

/// A field of a resource, when it is known or absent.
pub(crate) fn known<'v>(resource: &'v Resource, name: &str) -> Result<Option<&'v Value>, Outcome> {
    match field(&resource.value, name) {
        Some(Value { kind: Kind::Unknown(because), span }) => {
            let detail = format!("`{name}` of {} is not known: {because}", resource.label());
            Err(Outcome::undecided(detail).at(*span))
        }
        found => Ok(found),
    }
}
