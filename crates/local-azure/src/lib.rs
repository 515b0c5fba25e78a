//! An endpoint that answers as Azure Resource Manager does, and builds images on this machine.
//!
//! [`LocalAzure::handle`] takes a request and gives an answer, in this process; [`serve`] puts it behind TLS. What is
//! offered is one table ([`offers`]), what is known of a resource type another ([`types`]): the reference page is made
//! from both. Roles are enforced by `access`, networks by `network-policy`, templates are evaluated by `arm`.

#![allow(clippy::unnecessary_wraps, reason = "rows of a table have one signature")]

mod authorize;
mod blobs;
mod call;
mod compute;
mod deployments;
mod error;
mod features;
mod generic;
mod groups;
mod identities;
mod identity;
mod images;
mod interfaces;
mod lro;
mod machines;
mod network;
mod offers;
mod path;
mod private;
mod providers;
mod quotas;
mod reference;
mod roles;
mod seed;
mod storage;
mod store;
mod subscriptions;
mod transport;
mod types;

use std::fs::File;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Instant;

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde_json::json;
use tempfile::NamedTempFile;
use uuid::Uuid;

use authorize::Authorization;
use build_engine::network::Outbound;
use call::{Answer, Call};
use identity::{Kind, Principal};
use images::Runs;
use machines::Machines;
use offers::{Needs, Offer};
use path::Path;
use store::{Row, Store};

pub use crate::transport::{Body, Content, MAX_BODY, Request, Response, Server, serve};
pub use error::{ArmError, Error};
pub use identity::Secrets;
pub use reference::reference;
pub use seed::Seeded;

/// Receives one line for each request; never a token, key or signature.
pub type Log = dyn Fn(&str) + Send + Sync;

/// Where the endpoint keeps what it knows.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "may hold a proxy's credentials")]
pub struct Options {
    /// Folder of its state; made when missing.
    pub state: PathBuf,
    /// Folder of the engine's cache.
    pub cache: PathBuf,
    /// How builds reach the outside.
    pub outbound: Outbound,
    /// The subscription that a new state is to have, a GUID; any when none is told.
    pub subscription: Option<String>,
    /// Address of an Azurite that has the blobs of the accounts that clients make, such as `http://127.0.0.1:10000`; with
    /// none, the endpoint's own small blob service has them.
    pub azurite: Option<String>,
}

/// An Azure of one tenant and one subscription.
pub struct LocalAzure {
    store: Store,
    secrets: Secrets,
    authority: transport::Authority,
    authorization: Authorization,
    runs: Runs,
    machines: Machines,
    cache: PathBuf,
    outbound: Outbound,
    folder: PathBuf,
    azurite: Option<String>,
    me: Weak<Self>,
    log: Box<Log>,
    _lock: File,
}

impl std::fmt::Debug for LocalAzure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LocalAzure").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl LocalAzure {
    /// Opens the state of a folder, or makes a new one with one subscription and one principal, who owns it.
    ///
    /// # Errors
    /// When the folder cannot be used, holds what another version wrote, or is in use.
    pub fn open(options: Options, log: Box<Log>) -> Result<Arc<Self>, Error> {
        let folder = options.state;
        private::folder(&folder)?;
        let spool = folder.join("spool");
        private::folder(&spool)?;
        let lock = lock(&folder)?;
        // Uploads, sources of builds and machines that a killed process left.
        for left in std::fs::read_dir(&spool).map_err(|error| Error::file(&spool, error))?.flatten() {
            let path = left.path();
            let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
        let secrets = Secrets::open(&folder, options.subscription.as_deref())?;
        let authority = transport::Authority::open(&folder)?;
        let store = Store::open(&folder)?;
        let azure = Arc::new_cyclic(|me| Self {
            store,
            secrets,
            authority,
            authorization: Authorization::default(),
            runs: Runs::default(),
            machines: Machines::default(),
            cache: options.cache,
            outbound: options.outbound,
            folder,
            azurite: options.azurite,
            me: me.clone(),
            log,
            _lock: lock,
        });
        let begun = azure
            .first_principal()
            .and_then(|()| azure.recover())
            .and_then(|()| azure.recover_machines())
            .and_then(|()| azure.recover_deployments());
        begun.map_err(|error| Error::Begin(error.internal.unwrap_or(error.message)))?;
        Ok(azure)
    }

    /// Stops every build and machine and waits until each has cleaned up.
    pub fn stop(&self) {
        self.runs.stop();
        self.machines.stop();
    }

    /// Itself, for threads. It lives as long as a request does, so there is always one.
    pub(crate) fn shared(&self) -> Arc<Self> {
        #[allow(clippy::expect_used, reason = "`open` gives nobody an endpoint outside of an `Arc`")]
        self.me.upgrade().expect("an endpoint is always shared")
    }

    /// Who may log in first, and where.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The certificate that clients are to trust, as a PEM file.
    pub fn certificate(&self) -> &FilePath {
        self.authority.file()
    }

    pub(crate) fn authority(&self) -> &transport::Authority {
        &self.authority
    }

    pub(crate) fn spool(&self) -> std::io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.folder.join("spool"))
    }

    /// The id of the subscription.
    pub(crate) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.secrets.subscription)
    }

    /// The first principal, and that it owns the subscription.
    fn first_principal(&self) -> Result<(), ArmError> {
        let Secrets { object_id, client_id, client_secret, .. } = &self.secrets;
        let (object, client, kind) = (object_id.clone(), client_id.clone(), Kind::Application);
        let principal = Principal { object, client, name: "owner".to_owned(), kind };
        let assignment = roles::owner(&self.subscription(), object_id);
        self.store.write(|transaction| {
            principal.keep(transaction)?;
            principal.keep_password(transaction, (object_id, "first"), client_secret, 0..i64::MAX)?;
            if Row::find(transaction, &assignment["id"].as_str().unwrap_or_default().to_ascii_lowercase())?
                .is_none()
            {
                Row::put(transaction, &assignment)?;
            }
            Ok(())
        })
    }

    /// Answers a request. Every answer has a request id; errors are Azure's envelope.
    pub fn handle(&self, request: Request) -> Response {
        let started = Instant::now();
        let id = Uuid::new_v4().to_string();
        let client_id = request.header("x-ms-client-request-id").map(str::to_owned);
        let (method, path) = (request.method.clone(), request.path.clone());
        let mut who = String::new();
        let (response, note) = match self.answer(request, &mut who) {
            Ok(response) => (response, String::new()),
            Err(error) => {
                let note = format!(" {}", error.internal.as_ref().unwrap_or(&error.code));
                (refused(&error), note)
            }
        };
        let milliseconds = started.elapsed().as_millis();
        let status = response.status.as_u16();
        (self.log)(&format!("{method} {path} {status} {milliseconds} ms {id}{who}{note}"));
        let response =
            response.with_field("x-ms-request-id", &id).with_field("x-ms-correlation-request-id", &id);
        match client_id {
            Some(client_id) => response.with_field("x-ms-client-request-id", &client_id),
            None => response,
        }
    }

    fn answer(&self, request: Request, who: &mut String) -> Answer {
        let path = Path::parse(&request.path)?;
        if path::is_of_blobs(&request.path) {
            let mut call = Call { azure: self, request, path, variables: Vec::new(), principal: None };
            return Ok(blobs::handle(&mut call));
        }
        let (offer, variables) = offers::find(&request.method, &path)?;
        let principal = match offer.needs {
            Needs::Nothing => None,
            _ => Some(self.authenticate(&request)?),
        };
        if let Some(principal) = &principal {
            *who = format!(" by {}", principal.client);
        }
        let mut call = Call { azure: self, request, path, variables, principal };
        self.admit(offer, &call)?;
        (offer.run)(&mut call)
    }

    /// Does what a principal asks for, as a part of something larger that has asked who it is.
    pub(crate) fn perform(&self, request: Request, principal: Principal) -> Answer {
        let path = Path::parse(&request.path)?;
        let (offer, variables) = offers::find(&request.method, &path)?;
        let mut call = Call { azure: self, request, path, variables, principal: Some(principal) };
        self.admit(offer, &call)?;
        (offer.run)(&mut call)
    }

    /// Checks what does not depend on the operation: the version of the interface, the subscription, and the role.
    fn admit(&self, offer: &Offer, call: &Call<'_>) -> Result<(), ArmError> {
        if offer.needs == Needs::Nothing || offer.needs == Needs::Token {
            return Ok(());
        }
        offers::check_api_version(&call.api_version())?;
        if let [first, own, ..] = call.path.segments()
            && first.eq_ignore_ascii_case("subscriptions")
            && !own.eq_ignore_ascii_case(&self.secrets.subscription)
        {
            let message = format!("The subscription '{own}' could not be found.");
            return Err(ArmError::not_found("SubscriptionNotFound", message));
        }
        let (action, scope) = offer.action(call)?;
        self.require(call.caller()?, &action, &scope)
    }
}

/// An error as an answer.
pub(crate) fn refused(error: &ArmError) -> Response {
    let response = Response::json(error.status, &json!({ "error": error.to_json() }))
        .with_field("x-ms-error-code", &error.code);
    if error.status == StatusCode::UNAUTHORIZED {
        let challenge = format!(
            "Bearer authorization_uri=\"https://localhost/adfs\", error=\"invalid_token\", error_description=\"{}\"",
            error.code
        );
        return response.with(WWW_AUTHENTICATE, &challenge);
    }
    response
}

/// One process uses a state folder. The lock goes with the process, however it ends.
fn lock(folder: &FilePath) -> Result<File, Error> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|error| Error::file(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::InUse(folder.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::file(&path, error)),
    }
}
