//! `render`: what a recipe stands for and the network it is built in, in the forms that Azure takes.

use std::path::PathBuf;

use ipnet::Ipv4Net;
use network_policy::Endpoint;
use preflight::{Cloud, GrantPlace, Os, Plan, Prefixes, Topology};

use crate::cloud::Place;
use crate::commands::check::Shape;
use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::input::{Input, load_recipe};
use crate::output;
use crate::resources::{self, Language, Part};

/// Print what jumpbox.toml stands for and the network it is built in, in the forms that Azure takes
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Examples:\n  \
    aks-jumpbox render template > image.json\n  \
    aks-jumpbox render network --topology isolated > network.json\n  \
    aks-jumpbox render network --topology private-link --firewall 10.200.0.4 --language bicep > network.bicep")]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The image template, as the file that `az image builder create --image-template` takes
    Template,
    /// The deployment that `deploy` sends: the image template, with everything that its place asks for
    Deployment(Deployed),
    /// Roles that the template's identity needs, defined and assigned, as a deployment for the subscription
    Roles(Deployed),
    /// Subnets, security groups, routes and firewall rules that a build needs, and nothing more
    Network(NetworkArguments),
    /// The network security groups of that network alone
    Nsg(NetworkArguments),
    /// The firewall rules of that network alone
    Firewall(NetworkArguments),
}

/// What is deployed, without asking Azure
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 it is printed, 2 a setting is missing or a file is wrong.\n\nExamples:\n  \
    aks-jumpbox render deployment > deployment.json\n  \
    aks-jumpbox render roles --template image.json --location eastus2 > roles.json\n  \
    az deployment sub create --location eastus2 --template-file roles.json"
)]
struct Deployed {
    /// The image template [default: the one that jumpbox.toml stands for]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// The network of a build
///
/// Rules are made of the requirements that `check` asks for. The virtual network is a new one: deploying it over
/// another of the same name would replace its subnets.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 it is printed, 2 the prefixes or a file are wrong.\n\nExamples:\n  \
    aks-jumpbox render network --topology isolated > network.json\n  \
    aks-jumpbox render network --template image.json --language terraform > network.tf\n  \
    aks-jumpbox render network --topology private-link --virtual-network 10.9.0.0/16 --subnet 10.9.1.0/28\n  \
    aks-jumpbox render firewall --topology private-link --firewall 10.200.0.4 --language bicep")]
struct NetworkArguments {
    /// The shape of the build's network [default: the template's, else isolated, which Microsoft recommends]
    #[arg(long, value_name = "SHAPE", value_enum)]
    topology: Option<Shape>,
    /// The image template [default: the one that jumpbox.toml stands for]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Language of what is printed
    #[arg(long, value_name = "LANGUAGE", value_enum, default_value = "arm")]
    language: Language,
    /// Addresses of the virtual network
    #[arg(long, value_name = "CIDR", value_parser = prefix, default_value = "10.241.0.0/24")]
    virtual_network: Ipv4Net,
    /// Addresses of the build subnet [default: the first /28 of the virtual network]
    #[arg(long, value_name = "CIDR", value_parser = prefix)]
    subnet: Option<Ipv4Net>,
    /// Addresses of the container instance subnet of an isolated build [default: the first /28 that is free]
    #[arg(long, value_name = "CIDR", value_parser = prefix)]
    container_subnet: Option<Ipv4Net>,
    /// Private address of a firewall that the build subnet's traffic passes [default: none; a NAT gateway]
    #[arg(long, value_name = "ADDRESS")]
    firewall: Option<std::net::Ipv4Addr>,
}

/// Prints it.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    match &args.what {
        What::Template => {
            let loaded = load_recipe(context)?;
            loaded.warnings.iter().for_each(|warning| context.output.warn(warning));
            output::print_as_it_is(&loaded.recipe.template().to_json())?;
        }
        What::Deployment(args) => {
            let (design, _) = args.place.design(args.template.as_deref(), context, None)?;
            output::print_as_it_is(&design.deployment())?;
        }
        What::Roles(args) => {
            let (design, _) = args.place.design(args.template.as_deref(), context, None)?;
            for role in design.roles() {
                if let GrantPlace::StorageAccount(name) = role.at {
                    context.output.warn(&format!(
                        "not among them: Storage Blob Data Reader at the storage account {name}, whose group is not known"
                    ));
                }
            }
            output::print_as_it_is(&design.roles_template())?;
        }
        What::Network(args) => network(args, Part::Network, context)?,
        What::Nsg(args) => network(args, Part::Groups, context)?,
        What::Firewall(args) => network(args, Part::Firewall, context)?,
    }
    Ok(ExitStatus::Yes)
}

fn network(args: &NetworkArguments, part: Part, context: &Context) -> Result<(), Failure> {
    if part == Part::Firewall && args.firewall.is_none() {
        return Err(Problem::new(Category::Input, "there are no firewall rules without a firewall")
            .hint("name its private address: --firewall ADDRESS")
            .into());
    }
    let input = Input::load(args.template.as_deref(), context)?;
    input.warnings.iter().for_each(|warning| context.output.warn(warning));
    let topology = match (args.topology, &args.template) {
        (Some(shape), _) => shape.into(),
        (None, Some(_)) => Topology::of(&input.template),
        (None, None) => Topology::Isolated,
    };
    let prefixes = Prefixes {
        network: args.virtual_network,
        build: args.subnet,
        container: args.container_subnet,
        firewall: args.firewall,
        cloud: input.template.location.known().map_or_else(Cloud::default, Cloud::of_region),
    };
    let archive = preflight::package_archive_of(&input.template.source);
    let known = archive.iter().filter_map(|host| Endpoint::parse(host).ok());
    let mut endpoints = crate::network::allow_list(&input.endpoints())?;
    endpoints.extend(known);
    let validates = input.template.validate.is_some();
    let plan = Plan::new(topology, Os::of(&input.template), validates, &endpoints, &prefixes)
        .map_err(|error| Problem::new(Category::Input, error.to_string()))?;
    if topology == Topology::Managed {
        context.output.note("a managed build brings no network: Azure Image Builder makes its own");
    }
    if plan.firewall.is_some() && archive.is_empty() {
        context.output.note(
            "the firewall rules hold no package archive of the distribution: add its hosts to `[network] allow` of jumpbox.toml",
        );
    }
    output::print_as_it_is(&resources::write(&plan, part, args.language))
}

/// An IPv4 prefix as people write it.
fn prefix(text: &str) -> Result<Ipv4Net, String> {
    let prefix: Ipv4Net = text.parse().map_err(|_| "not an IPv4 prefix, such as 10.241.0.0/28".to_owned())?;
    if prefix == prefix.trunc() {
        Ok(prefix)
    } else {
        Err(format!("it has host bits set; the network is {}", prefix.trunc()))
    }
}
