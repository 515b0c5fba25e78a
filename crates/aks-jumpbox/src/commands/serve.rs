//! `serve`: the local Azure endpoint.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use local_azure::{LocalAzure, Options};
use serde_json::json;

use crate::context::{Context, stop_on_signals};
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::input::Loaded;
use crate::network::Documents;
use crate::output::{self, Format};
use crate::{input, network};

/// Answer as Azure does, on this machine: real clients, real roles and networks, images built here
///
/// The first line on standard output is JSON for programs; the commands that connect the Azure CLI follow on standard
/// error. One line for each request goes there, too; -q leaves them out.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 ended by itself, 2 a file is wrong, 4 this machine is not able, 130 interrupted.\n\n\
    Examples:\n  aks-jumpbox serve\n  aks-jumpbox serve --listen 127.0.0.1:0 --state /tmp/azure    any free port\n  \
    aks-jumpbox serve --seed environment.toml                  with a network to build in\n  \
    aks-jumpbox serve --azurite http://127.0.0.1:10000         with a full storage emulator\n"
)]
pub struct Arguments {
    /// Address to listen on; one that others can reach is warned about
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Folder of its state: resources, secrets, certificates, blobs [default: azure/ in the cache]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Make what an environment file (TOML) or any single document it can name describes; what is there already stays
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Azurite that has the blobs of storage accounts that clients make; without it, a small blob service of its own
    #[arg(long, value_name = "URL", value_parser = address)]
    azurite: Option<String>,
}

/// Serves until it is interrupted.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let output = context.output;
    let cancel = stop_on_signals()?;
    if !args.listen.ip().is_loopback() {
        output.warn(
            "others can reach this address: whoever has the client secret can run programs on this machine",
        );
    }
    let Loaded { recipe, file, warnings } = input::load_recipe(context)?;
    for warning in &warnings {
        output.warn(warning);
    }
    let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    let outbound = network::outbound(&recipe, folder)?;
    let state = args.state.clone().unwrap_or_else(|| context.cache().join("azure"));
    let log = move |line: &str| output.note(line);
    let seed = args.seed.as_deref().map(|file| Documents::open(file)?.sound(output)).transpose()?;
    let subscription = seed.as_ref().and_then(subscription);
    let options =
        Options { state, cache: context.cache(), outbound, subscription, azurite: args.azurite.clone() };
    let azure = LocalAzure::open(options, Box::new(log)).map_err(|error| cannot_start(&error))?;
    if let (Some(file), Some(seed)) = (&args.seed, &seed) {
        plant(&azure, file, seed, context)?;
    }
    let server = local_azure::serve(Arc::clone(&azure), args.listen).map_err(|error| cannot_start(&error))?;
    let port = server.address.port();
    let host = if args.listen.ip().is_loopback() || args.listen.ip().is_unspecified() {
        "localhost".to_owned()
    } else {
        args.listen.ip().to_string()
    };
    let endpoint = format!("https://{host}:{port}");
    let secrets = azure.secrets();
    let first = json!({
        "endpoint": endpoint, "ca": azure.certificate().display().to_string(), "tenant": secrets.tenant,
        "subscription": secrets.subscription, "client_id": secrets.client_id, "client_secret": secrets.client_secret,
    });
    output::print_as_it_is(&format!("{first}\n"))?;
    if output.format == Format::Text {
        output::tell(&how_to_connect(&endpoint, &azure));
    }
    while cancel.check().is_ok() {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    server.stop();
    azure.stop();
    Ok(ExitStatus::Interrupted)
}

/// An http or https address of a host, and nothing else.
fn address(text: &str) -> Result<String, String> {
    let parsed = text.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.path() == "/" && uri.query().is_none()
    });
    let named = parsed.as_ref().and_then(http::Uri::authority).filter(|own| !own.as_str().contains('@'));
    named.map(|_| text.to_owned()).ok_or_else(|| "an address such as http://127.0.0.1:10000".to_owned())
}

/// The subscription that documents are about: what the environment says, else that of the first resource that says one.
fn subscription(seed: &Documents) -> Option<String> {
    let told = seed.environment.subscription.as_ref().map(|named| named.text.as_str());
    let ids = seed.inventory.resources().filter_map(|resource| resource.id.subscription());
    told.into_iter().chain(ids).find(|id| id.len() == 36 && !id.contains(['*', '{'])).map(str::to_owned)
}

/// Makes what the documents describe, and says what was left out.
fn plant(azure: &LocalAzure, file: &Path, seed: &Documents, context: &Context) -> Result<(), Failure> {
    let location = seed.environment.location.as_ref().map(|named| named.text.as_str());
    let seeded = azure.seed(&seed.inventory, location).map_err(|error| {
        let hint = "a network has to be wholly known: `subscription`, a source's `resource_group`, its parameters, and \
                    `[source.runtime]` tell what documents leave open";
        Failure::from(Problem::new(Category::Input, format!("the seed cannot be made: {error}")).in_file(file).hint(hint))
    })?;
    for left in &seeded.left {
        context.output.warn(&format!("left out of the seed: {left}"));
    }
    context.output.note(&format!("seed: {} made, {} there already", seeded.made, seeded.kept));
    Ok(())
}

fn cannot_start(error: &local_azure::Error) -> Failure {
    let hint = match error {
        local_azure::Error::Listen(..) => {
            Some("choose another address with --listen; port 0 takes a free one")
        }
        local_azure::Error::OtherSubscription { .. } => {
            Some("choose another folder with --state; one folder is one subscription")
        }
        local_azure::Error::InUse(_) => Some("stop the other one, or choose another folder with --state"),
        _ => None,
    };
    let problem = Problem::new(Category::Host, "could not start the local Azure").caused_by(error);
    hint.map_or(problem.clone(), |hint| problem.hint(hint)).into()
}

/// The commands that connect the Azure CLI (azure-clients.md 2).
fn how_to_connect(endpoint: &str, azure: &LocalAzure) -> String {
    let secrets = azure.secrets();
    let ca = azure.certificate().display();
    format!(
        "\nThe Azure CLI connects with:\n\n  export REQUESTS_CA_BUNDLE={ca}\n  \
         export AZURE_CONFIG_DIR=$(mktemp -d)\n  \
         az cloud register -n local --endpoint-resource-manager {endpoint} --endpoint-active-directory {endpoint}/adfs\n  \
         az cloud set -n local\n  \
         az login --service-principal -u {} -p \"$CLIENT_SECRET\" --tenant {}\n\n\
         CLIENT_SECRET is `client_secret` of the line above. Ctrl-C ends it; its state stays.\n\n",
        secrets.client_id, secrets.tenant
    )
}
