//! What the endpoint knows, in one database.
//!
//! A write is acknowledged after its transaction was committed into the write-ahead log, which survives the end of this
//! process at any moment. (It is not forced to the disk at each commit: after a power failure the last writes may be
//! missing, never half there.)

mod resources;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use resources::{ALL, Page, Row, Write};

use crate::error::{ArmError, Error};

/// Version of the tables. A database of another version is refused rather than guessed at.
const VERSION: i64 = 3;

/// How many connections for reading are kept.
const READERS: usize = 4;

const TABLES: &str = "
    CREATE TABLE resources (
        key     TEXT PRIMARY KEY,   -- id in lower case
        type    TEXT NOT NULL,      -- resource type in lower case
        body    TEXT NOT NULL,      -- JSON with id, name and type
        etag    TEXT NOT NULL,
        created INTEGER NOT NULL,   -- seconds since 1970
        changed INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX resources_of_type ON resources (type, key);
    CREATE TABLE links (             -- what a resource names in its properties
        target  TEXT NOT NULL,      -- id in lower case, of what may or may not be there
        source  TEXT NOT NULL,      -- key of the resource
        PRIMARY KEY (target, source)
    ) WITHOUT ROWID;
    CREATE INDEX links_of_source ON links (source);
    CREATE TABLE operations (
        id       TEXT PRIMARY KEY,
        key      TEXT NOT NULL,     -- of the resource it is about
        state    TEXT NOT NULL,     -- InProgress, Succeeded, Failed, Canceled
        error    TEXT,              -- inner part of the error's envelope
        result   TEXT,              -- what it came to, as JSON
        replay   TEXT,              -- the client's id of the request
        started  INTEGER NOT NULL,
        ended    INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX operations_of_resource ON operations (key);
    CREATE TABLE image_templates (
        key         TEXT PRIMARY KEY,
        api_version TEXT NOT NULL,
        caller      TEXT NOT NULL,  -- object id of who made it
        operation   TEXT            -- of the creation, run or deletion under way
    ) WITHOUT ROWID;
    CREATE TABLE principals (
        object    TEXT PRIMARY KEY,
        client    TEXT NOT NULL UNIQUE,
        name      TEXT NOT NULL,
        kind      TEXT NOT NULL      -- Application, ManagedIdentity
    ) WITHOUT ROWID;
    CREATE TABLE passwords (
        key       TEXT PRIMARY KEY,
        object    TEXT NOT NULL,     -- of the principal who logs in with it
        name      TEXT NOT NULL,
        digest    BLOB NOT NULL,     -- its SHA-256
        starts    INTEGER NOT NULL,
        ends      INTEGER NOT NULL
    ) WITHOUT ROWID;
    -- Counts changes of roles, so that no writer can forget to say that there was one.
    CREATE TABLE authorization (version INTEGER NOT NULL);
    INSERT INTO authorization VALUES (1);
    CREATE TRIGGER authorization_added AFTER INSERT ON resources WHEN NEW.type LIKE 'microsoft.authorization/%'
        BEGIN UPDATE authorization SET version = version + 1; END;
    CREATE TRIGGER authorization_changed AFTER UPDATE ON resources WHEN NEW.type LIKE 'microsoft.authorization/%'
        BEGIN UPDATE authorization SET version = version + 1; END;
    CREATE TRIGGER authorization_removed AFTER DELETE ON resources WHEN OLD.type LIKE 'microsoft.authorization/%'
        BEGIN UPDATE authorization SET version = version + 1; END;
";

/// The database.
#[derive(Debug)]
pub struct Store {
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    path: PathBuf,
}

impl Store {
    /// Opens the database of a state folder, or makes it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("state.sqlite3");
        let wrong = |error: rusqlite::Error| Error::Database(path.clone(), error.to_string());
        let mut writer = Connection::open(&path).map_err(wrong)?;
        writer.pragma_update(None, "journal_mode", "WAL").map_err(wrong)?;
        prepare(&writer).map_err(wrong)?;
        let version: i64 =
            writer.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(wrong)?;
        match version {
            0 => {
                let make = |connection: &mut Connection| {
                    let transaction = connection.transaction()?;
                    transaction.execute_batch(TABLES)?;
                    transaction.pragma_update(None, "user_version", VERSION)?;
                    transaction.commit()
                };
                make(&mut writer).map_err(wrong)?;
            }
            2 => {
                let add = "ALTER TABLE operations ADD COLUMN result TEXT; PRAGMA user_version = 3;";
                writer.execute_batch(add).map_err(wrong)?;
            }
            VERSION => {}
            other => {
                let text =
                    format!("it has version {other}, this program knows {VERSION}: use another folder");
                return Err(Error::Database(path, text));
            }
        }
        Ok(Self { writer: Mutex::new(writer), readers: Mutex::new(Vec::new()), path })
    }

    /// Reads in one consistent view.
    pub fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, ArmError>) -> Result<T, ArmError> {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.reader()?,
        };
        let answer = {
            let view = connection.transaction()?;
            read(&view)
        };
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push(connection);
        }
        answer
    }

    /// Writes all or nothing. What `write` does outside of the database must be repeatable.
    pub fn write<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, ArmError>,
    ) -> Result<T, ArmError> {
        let mut connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answer = write(&transaction)?;
        transaction.commit()?;
        Ok(answer)
    }

    fn reader(&self) -> Result<Connection, ArmError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        prepare(&connection)?;
        Ok(connection)
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}
