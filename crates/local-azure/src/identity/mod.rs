//! Who calls: the tenant's secrets, principals, and the tokens that they get.

mod endpoints;
pub(crate) mod graph;
mod token;

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{ArmError, Error};
use crate::private;

pub(crate) use endpoints::{metadata, openid, token};
pub(crate) use token::Audience;

/// What is made at first start and kept, readable by its owner alone.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// The tenant, a GUID.
    pub tenant: String,
    /// The subscription, a GUID.
    pub subscription: String,
    /// The first principal's client id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Its object id.
    pub(crate) object_id: String,
    /// What tokens, keys of accounts and signatures come from: 32 bytes in hexadecimal digits.
    pub(crate) signing_key: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Secrets").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl Secrets {
    /// The secrets of a state folder: what is kept there, else new ones, of the subscription that is asked for.
    pub(crate) fn open(folder: &Path, subscription: Option<&str>) -> Result<Self, Error> {
        let path = folder.join("secrets.json");
        if let Some(text) = private::read(&path)? {
            let kept: Self =
                serde_json::from_str(&text).map_err(|error| Error::State(path, error.to_string()))?;
            return match subscription.filter(|wanted| !wanted.eq_ignore_ascii_case(&kept.subscription)) {
                Some(wanted) => Err(Error::OtherSubscription {
                    folder: folder.to_owned(),
                    there: kept.subscription,
                    wanted: wanted.to_owned(),
                }),
                None => Ok(kept),
            };
        }
        let guid = || Uuid::new_v4().to_string();
        let secrets = Self {
            tenant: guid(),
            subscription: subscription.map_or_else(guid, str::to_ascii_lowercase),
            client_id: guid(),
            client_secret: random(),
            object_id: guid(),
            signing_key: random(),
        };
        let text = serde_json::to_string_pretty(&secrets)
            .map_err(|error| Error::State(path.clone(), error.to_string()))?;
        private::write(&path, text.as_bytes())?;
        Ok(secrets)
    }
}

/// 32 random bytes in hexadecimal digits.
pub(crate) fn random() -> String {
    let mut bytes = [0; 32];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // The kernel's random numbers are the same source; two GUIDs have 244 random bits.
        return format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    }
    hexadecimal(&bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a principal belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An application, which logs in with a password.
    Application,
    /// A managed identity, which nobody logs in as.
    ManagedIdentity,
}

impl Kind {
    /// Graph's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Application => "Application",
            Self::ManagedIdentity => "ManagedIdentity",
        }
    }
}

/// Somebody who calls, or who a build runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Object id, a GUID: whom role assignments name.
    pub object: String,
    /// Client id, a GUID: who logs in.
    pub client: String,
    /// Its name for people.
    pub name: String,
    pub(crate) kind: Kind,
}

impl Principal {
    const COLUMNS: &'static str = "object, client, name, kind";

    /// A new principal. It cannot log in before it has a password.
    pub(crate) fn make(connection: &Connection, name: &str, kind: Kind) -> Result<Self, ArmError> {
        let guid = || Uuid::new_v4().to_string();
        let principal = Self { object: guid(), client: guid(), name: name.to_owned(), kind };
        principal.keep(connection)?;
        Ok(principal)
    }

    pub(crate) fn keep(&self, connection: &Connection) -> Result<(), ArmError> {
        let sql = "INSERT INTO principals (object, client, name, kind) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (object) DO UPDATE SET name = ?3";
        connection.execute(sql, params![self.object, self.client, self.name, self.kind.name()])?;
        Ok(())
    }

    /// Keeps the digest of a password, under a key and a name, that holds for a time in seconds since 1970.
    pub(crate) fn keep_password(
        &self,
        connection: &Connection,
        (key, name): (&str, &str),
        secret: &str,
        holds: Range<i64>,
    ) -> Result<(), ArmError> {
        let sql = "INSERT OR REPLACE INTO passwords (key, object, name, digest, starts, ends) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![key, self.object, name, hash(secret), holds.start, holds.end];
        connection.execute(sql, values)?;
        Ok(())
    }

    /// By object id or client id.
    pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<Self>, ArmError> {
        let sql = format!("SELECT {} FROM principals WHERE object = ?1 OR client = ?1", Self::COLUMNS);
        let id = id.to_ascii_lowercase();
        Ok(connection.prepare_cached(&sql)?.query_row([id], Self::read).optional()?)
    }

    /// Everybody, by name.
    pub(crate) fn all(connection: &Connection) -> Result<Vec<Self>, ArmError> {
        let sql = format!("SELECT {} FROM principals ORDER BY name, object", Self::COLUMNS);
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement.query_map([], Self::read)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let application = row.get::<_, String>(3)? == Kind::Application.name();
        let kind = if application { Kind::Application } else { Kind::ManagedIdentity };
        Ok(Self { object: row.get(0)?, client: row.get(1)?, name: row.get(2)?, kind })
    }

    /// Whoever has this client id and a password that holds now.
    pub(crate) fn log_in(
        connection: &Connection,
        client: &str,
        secret: &str,
        now: i64,
    ) -> Result<Option<Self>, ArmError> {
        // The digest of a random secret of 256 bits: how long the comparison takes tells nothing of use.
        let sql = format!(
            "SELECT {} FROM principals WHERE client = ?1 AND object IN
                (SELECT object FROM passwords WHERE digest = ?2 AND starts <= ?3 AND ?3 < ends)",
            Self::COLUMNS
        );
        let values = params![client.to_ascii_lowercase(), hash(secret), now];
        Ok(connection.prepare_cached(&sql)?.query_row(values, Self::read).optional()?)
    }

    pub(crate) fn remove(connection: &Connection, object: &str) -> Result<(), ArmError> {
        connection.execute("DELETE FROM passwords WHERE object = ?1", [object])?;
        connection.execute("DELETE FROM principals WHERE object = ?1", [object])?;
        Ok(())
    }
}

fn hash(secret: &str) -> Vec<u8> {
    digest(&SHA256, secret.as_bytes()).as_ref().to_vec()
}
