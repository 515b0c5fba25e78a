//! The way to an endpoint, with who asks; and the state and record of what is done there.

use std::path::PathBuf;
use std::sync::Arc;

use azure::{Client, Cloud, Login, Secret, Tls, Wire};
use local_azure::{LocalAzure, Options};
use workflow::{Audit, State, Workflow};

use super::arguments::{Endpoint, LoginKind, Target};
use super::local::{InProcess, ORIGIN};
use super::watch::Teller;
use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::input::{self, Loaded};
use crate::network;

/// A way to an endpoint.
pub struct Session {
    client: Client,
    state: PathBuf,
    /// The subscription that the endpoint has, where it has one alone.
    pub subscription: Option<String>,
    /// The endpoint itself, where it is in this process; builds end with it.
    local: Option<Arc<LocalAzure>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(local) = &self.local {
            local.stop();
        }
    }
}

/// Opens the way to an endpoint.
///
/// # Errors
/// When it cannot be reached, or nobody is logged in.
pub fn open(target: Target, endpoint: &Endpoint, context: &Context) -> Result<Session, Failure> {
    let state = endpoint.state(target, context)?;
    match target {
        Target::Azure => {
            let wire: Arc<dyn Wire> = Arc::new(Tls::new(&endpoint.ca_file)?);
            let known = workflow::read_state(&state)?.map(|record| record.cloud);
            let named = endpoint.cloud.clone().or(known).unwrap_or_else(|| "public".to_owned());
            let cloud = cloud(&named, wire.as_ref())?;
            let client = Client::connect(cloud, &login(endpoint), wire)?;
            Ok(Session { client, state, subscription: None, local: None })
        }
        Target::Local => {
            let local = in_process(context)?;
            let wire: Arc<dyn Wire> = Arc::new(InProcess(Arc::clone(&local)));
            let cloud = Cloud::discover(ORIGIN, wire.as_ref())?;
            let secrets = local.secrets();
            let login = Login::Secret {
                tenant: secrets.tenant.clone(),
                client_id: secrets.client_id.clone(),
                client_secret: Secret::new(secrets.client_secret.clone()),
            };
            let subscription = Some(secrets.subscription.clone());
            let client = Client::connect(cloud, &login, wire)?;
            Ok(Session { client, state, subscription, local: Some(local) })
        }
    }
}

impl Session {
    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether something is written down.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_begun(&self) -> Result<bool, Failure> {
        Ok(workflow::read_state(&self.state)?.is_some())
    }

    /// The work on a subscription, as far as it has come.
    ///
    /// # Errors
    /// When the state cannot be used.
    pub fn workflow<'a>(&'a self, subscription: &str, teller: &'a Teller) -> Result<Workflow<'a>, Failure> {
        let state = State::open(&self.state, &self.client.cloud().resource_manager, subscription)?;
        let audit = Audit::open(&self.state.with_extension("audit.jsonl"), self.client.who()?)?;
        Ok(Workflow::new(&self.client, state, audit, teller))
    }

    /// The work that is written down.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    pub fn earlier<'a>(&'a self, teller: &'a Teller) -> Result<Workflow<'a>, Failure> {
        let Some(record) = workflow::read_state(&self.state)? else {
            let message = format!("nothing was deployed from here: there is no {}", self.state.display());
            let hint = "`aks-jumpbox deploy` begins; another state is named with --state";
            return Err(Problem::new(Category::Input, message).hint(hint).into());
        };
        self.workflow(&record.subscription, teller)
    }

    /// The same for whoever only looks, also while another process works.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn look<'a>(&'a self, teller: &'a Teller) -> Result<Workflow<'a>, Failure> {
        let Some(state) = State::look(&self.state)? else { return self.earlier(teller) };
        let audit = Audit::open(&self.state.with_extension("audit.jsonl"), self.client.who()?)?;
        Ok(Workflow::new(&self.client, state, audit, teller))
    }
}

/// The template that was deployed last.
///
/// # Errors
/// When none was.
pub fn deployed(workflow: &Workflow<'_>) -> Result<String, Failure> {
    workflow.record().template.clone().ok_or_else(|| {
        Problem::new(Category::Input, "no image template is deployed")
            .hint("`aks-jumpbox deploy` makes one")
            .into()
    })
}

fn cloud(text: &str, wire: &dyn Wire) -> Result<Cloud, Failure> {
    let known = ["public", "usgov", "china"].into_iter().filter_map(Cloud::named);
    let by_address = known.into_iter().find(|cloud| cloud.resource_manager == text);
    if let Some(cloud) = Cloud::named(text).or(by_address) {
        return Ok(cloud);
    }
    if !text.starts_with("https://") {
        return Err(Problem::new(Category::Input, format!("there is no cloud {text}"))
            .expecting("public, usgov, china, or the https address of a resource manager")
            .into());
    }
    Ok(Cloud::discover(text.trim_end_matches('/'), wire)?)
}

fn login(endpoint: &Endpoint) -> Login {
    match endpoint.login {
        LoginKind::Auto => Login::Auto,
        LoginKind::Environment => Login::Environment,
        LoginKind::WorkloadIdentity => Login::WorkloadIdentity,
        LoginKind::ManagedIdentity => {
            Login::ManagedIdentity { client_id: std::env::var("AZURE_CLIENT_ID").ok() }
        }
        LoginKind::DeveloperTools => Login::DeveloperTools,
    }
}

/// The endpoint that `serve` would serve.
fn in_process(context: &Context) -> Result<Arc<LocalAzure>, Failure> {
    let Loaded { recipe, file, .. } = input::load_recipe(context)?;
    let folder = file.as_deref().and_then(std::path::Path::parent).unwrap_or(std::path::Path::new("."));
    let options = Options {
        state: context.cache().join("azure"),
        cache: context.cache(),
        outbound: network::outbound(&recipe, folder)?,
        subscription: recipe.azure.subscription.clone(),
        azurite: None,
    };
    LocalAzure::open(options, Box::new(|_| {})).map_err(|error| {
        Problem::new(Category::Host, "could not start the local Azure")
            .caused_by(&error)
            .hint("where `aks-jumpbox serve` runs, use it: --cloud https://localhost:8443 --ca-file FILE")
            .into()
    })
}
