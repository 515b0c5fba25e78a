//! Who calls: the tenant's secrets, principals, and the tokens that they get.

mod endpoints;
mod token;

use std::fmt::Write as _;
use std::path::Path;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{ArmError, Error};
use crate::private;

pub(crate) use endpoints::{graph_by_ids, graph_principals, metadata, openid, token};
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
    /// The secrets of a state folder: what is kept there, else new ones.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("secrets.json");
        if let Some(text) = private::read(&path)? {
            return serde_json::from_str(&text).map_err(|error| Error::State(path, error.to_string()));
        }
        let guid = || Uuid::new_v4().to_string();
        let secrets = Self {
            tenant: guid(),
            subscription: guid(),
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

/// Somebody who calls, or who a build runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Object id, a GUID: whom role assignments name.
    pub object: String,
    /// Client id, a GUID: who logs in.
    pub client: String,
    /// Its name for people.
    pub name: String,
}

impl Principal {
    /// A new principal. One without a secret cannot log in.
    pub(crate) fn make(connection: &Connection, name: &str, secret: Option<&str>) -> Result<Self, ArmError> {
        let principal = Self {
            object: Uuid::new_v4().to_string(),
            client: Uuid::new_v4().to_string(),
            name: name.to_owned(),
        };
        principal.keep(connection, secret)?;
        Ok(principal)
    }

    pub(crate) fn keep(&self, connection: &Connection, secret: Option<&str>) -> Result<(), ArmError> {
        let hash = secret.map(|secret| digest(&SHA256, secret.as_bytes()).as_ref().to_vec());
        let sql = "INSERT INTO principals (object, client, name, secret) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (object) DO UPDATE SET name = ?3, secret = ?4";
        connection.execute(sql, params![self.object, self.client, self.name, hash])?;
        Ok(())
    }

    /// By object id or client id.
    pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<Self>, ArmError> {
        let sql = "SELECT object, client, name FROM principals WHERE object = ?1 OR client = ?1";
        let id = id.to_ascii_lowercase();
        Ok(connection.prepare_cached(sql)?.query_row([id], Self::read).optional()?)
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { object: row.get(0)?, client: row.get(1)?, name: row.get(2)? })
    }

    /// Whoever has this client id and secret.
    pub(crate) fn log_in(
        connection: &Connection,
        client: &str,
        secret: &str,
    ) -> Result<Option<Self>, ArmError> {
        let sql = "SELECT object, client, name FROM principals WHERE client = ?1 AND secret = ?2";
        // The digest of a random secret of 256 bits: how long the comparison takes tells nothing of use.
        let hash = digest(&SHA256, secret.as_bytes()).as_ref().to_vec();
        let client = client.to_ascii_lowercase();
        Ok(connection.query_row(sql, params![client, hash], Self::read).optional()?)
    }

    pub(crate) fn remove(connection: &Connection, object: &str) -> Result<(), ArmError> {
        connection.execute("DELETE FROM principals WHERE object = ?1", [object])?;
        Ok(())
    }
}
