//! What was made and what is waited for, in one file beside `jumpbox.toml`: written down before anything is asked of Azure,
//! so that another process goes on where this one ended. It holds ids and addresses, and no secret.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use azure::Operation;
use serde::{Deserialize, Serialize};

use crate::error::Error;

const VERSION: u32 = 1;

/// Everything that is known from one process to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Origin of the resource manager.
    pub cloud: String,
    /// `/subscriptions/{guid}`.
    pub subscription: String,
    /// What was made, in the order of making; written before each is made.
    #[serde(default)]
    pub made: Vec<Made>,
    /// The template that the last deployment made or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The operation that is waited for, and what it makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// The last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// When a role was last assigned, in seconds since 1970: how long Azure may still take to honour it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<i64>,
}

/// Something that was made here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// What it is.
    pub kind: Kind,
    /// Its resource id.
    pub id: String,
    /// Whether Azure has confirmed it; not yet means that it may or may not be there.
    pub confirmed: bool,
    /// Whether somebody else made it and it was handed over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
}

/// What was made, in words that say when it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A resource group.
    Group,
    /// A gallery.
    Gallery,
    /// An image definition.
    Definition,
    /// A managed identity.
    Identity,
    /// A role definition.
    Role,
    /// A role assignment, needed while images are built.
    Assignment,
    /// An image template, with its staging resource group.
    Template,
    /// A trigger of a template.
    Trigger,
    /// A finished image: a managed image or a gallery image version.
    Image,
    /// A deployment in the history of a resource group.
    Deployment,
    /// A machine that tries an image, its disk or its network interface.
    Trial,
}

/// An operation that goes on in Azure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Resource id of what it is about.
    pub id: String,
    /// Where to ask.
    pub operation: Operation,
}

/// A run of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Resource id of the template.
    pub template: String,
    /// Id of the request that starts it; the same one whenever it has to be sent again.
    pub request: String,
    /// When the run before it began, as the service writes it: what tells this one from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Where to ask; none until the service has answered, or when its answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The last state that was heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// The file, held by this process alone.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    /// What it says.
    pub record: Record,
    /// None for whoever only looks.
    lock: Option<File>,
}

impl State {
    /// Opens the state of a place, or begins one. One process uses it at a time.
    ///
    /// # Errors
    /// When the file cannot be used, is in use, is not one of these, or is of another cloud or subscription.
    pub fn open(path: &Path, cloud: &str, subscription: &str) -> Result<Self, Error> {
        let lock = lock(path)?;
        let record = read(path)?.unwrap_or_else(|| Record {
            version: VERSION,
            cloud: cloud.to_owned(),
            subscription: subscription.to_owned(),
            made: Vec::new(),
            template: None,
            waiting: None,
            run: None,
            assigned: None,
        });
        let same = record.subscription.eq_ignore_ascii_case(subscription) && record.cloud == cloud;
        if !same {
            return Err(Error::OtherPlace {
                path: path.to_owned(),
                own: format!("{}{}", record.cloud, record.subscription),
                asked: format!("{cloud}{subscription}"),
            });
        }
        Ok(Self { path: path.to_owned(), record, lock: Some(lock) })
    }

    /// What a state says now, for whoever only looks while another process may work with it. Nothing can be written down.
    ///
    /// # Errors
    /// When the file cannot be read or is not one of these.
    pub fn look(path: &Path) -> Result<Option<Self>, Error> {
        Ok(read(path)?.map(|record| Self { path: path.to_owned(), record, lock: None }))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file as a whole: a reader sees it before or after, also after a kill or a power failure.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self) -> Result<(), Error> {
        if self.lock.is_none() {
            return Err(Error::InUse(self.path.clone()));
        }
        let failed = |error: io::Error| Error::File { path: self.path.clone(), error };
        let text = serde_json::to_string_pretty(&self.record).map_err(|error| failed(error.into()))?;
        let folder = folder_of(&self.path);
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Writes down that something is about to be made.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn intend(&mut self, kind: Kind, id: &str) -> Result<(), Error> {
        if self.made(id).is_none() {
            self.record.made.push(Made { kind, id: id.to_owned(), confirmed: false, adopted: false });
            self.save()?;
        }
        Ok(())
    }

    /// Writes down that it is there, and that nothing is waited for.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn confirm(&mut self, id: &str) -> Result<(), Error> {
        for own in self.record.made.iter_mut().filter(|own| own.id.eq_ignore_ascii_case(id)) {
            own.confirmed = true;
        }
        self.record.waiting = None;
        self.save()
    }

    /// Writes down that something is gone, or was never ours.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget(&mut self, id: &str) -> Result<(), Error> {
        self.record.made.retain(|own| !own.id.eq_ignore_ascii_case(id));
        if self.record.template.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(id)) {
            self.record.template = None;
        }
        self.save()
    }

    /// What was written down about an id.
    pub fn made(&self, id: &str) -> Option<&Made> {
        self.record.made.iter().find(|own| own.id.eq_ignore_ascii_case(id))
    }

    /// All of a kind, the last made first.
    pub fn of_kind(&self, kind: Kind) -> Vec<String> {
        let own = self.record.made.iter().rev().filter(|own| own.kind == kind);
        own.map(|own| own.id.clone()).collect()
    }
}

/// What a state file says, without holding it; none where there is no file.
///
/// # Errors
/// When it cannot be read or is not one of these.
pub fn read(path: &Path) -> Result<Option<Record>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::File { path: path.to_owned(), error }),
    };
    let record: Record = serde_json::from_str(&text)
        .map_err(|error| Error::NotState { path: path.to_owned(), why: error.to_string() })?;
    if record.version != VERSION {
        let why = format!("it is of version {}, and this program writes {VERSION}", record.version);
        return Err(Error::NotState { path: path.to_owned(), why });
    }
    Ok(Some(record))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The lock goes with the process, however it ends; its file stays, empty.
fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |error| Error::File { path: PathBuf::from(&name), error };
    let file = File::create(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
