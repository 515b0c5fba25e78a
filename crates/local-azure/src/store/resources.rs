//! Resources by id: one row each, children in rows of their own.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::error::ArmError;

/// A resource as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its id in lower case.
    pub key: String,
    /// What a client gets: `id`, `name`, `type`, and what was written.
    pub body: Value,
    /// Changes with every write.
    pub etag: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Seconds since 1970.
    pub changed: i64,
}

/// Whether a write made something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It was not there before.
    Created,
    /// It was there.
    Replaced,
}

/// As many resources as there are.
pub const ALL: usize = usize::MAX;

/// A part of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Resources in the order of their keys.
    pub rows: Vec<Row>,
    /// Where the next page begins, when there is one: after this key.
    pub after: Option<String>,
}

const COLUMNS: &str = "key, body, etag, created, changed";

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<(String, String, String, i64, i64)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    }

    fn of((key, body, etag, created, changed): (String, String, String, i64, i64)) -> Result<Self, ArmError> {
        let body = serde_json::from_str(&body)
            .map_err(|error| ArmError::internal(format!("the row {key} does not parse: {error}")))?;
        Ok(Self { key, body, etag, created, changed })
    }

    /// Finds a resource.
    pub fn find(connection: &Connection, key: &str) -> Result<Option<Self>, ArmError> {
        let sql = format!("SELECT {COLUMNS} FROM resources WHERE key = ?1");
        let found = connection.prepare_cached(&sql)?.query_row([key], Self::read).optional()?;
        found.map(Self::of).transpose()
    }

    /// Writes a resource; the body carries its id and type.
    pub fn put(connection: &Connection, body: &Value) -> Result<(Self, Write), ArmError> {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let key = text("id").to_ascii_lowercase();
        let resource_type = text("type").to_ascii_lowercase();
        let now = jiff::Timestamp::now().as_second();
        let etag = uuid::Uuid::new_v4().to_string();
        let created: Option<i64> = connection
            .prepare_cached("SELECT created FROM resources WHERE key = ?1")?
            .query_row([&key], |row| row.get(0))
            .optional()?;
        let sql =
            "INSERT INTO resources (key, type, body, etag, created, changed) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
            ON CONFLICT (key) DO UPDATE SET body = ?3, etag = ?4, changed = ?5";
        connection.prepare_cached(sql)?.execute(params![key, resource_type, body.to_string(), etag, now])?;
        if created.is_some() {
            connection.prepare_cached("DELETE FROM links WHERE source = ?1")?.execute([&key])?;
        }
        let mut targets = BTreeSet::new();
        links(&body["properties"], &mut targets);
        for target in targets {
            let sql = "INSERT INTO links (target, source) VALUES (?1, ?2)";
            connection.prepare_cached(sql)?.execute(params![target, key])?;
        }
        let write = if created.is_some() { Write::Replaced } else { Write::Created };
        let row = Self { key, body: body.clone(), etag, created: created.unwrap_or(now), changed: now };
        Ok((row, write))
    }

    /// Removes a resource and everything inside it; how many rows that were.
    pub fn remove(connection: &Connection, key: &str) -> Result<usize, ArmError> {
        let (from, to) = inside(key);
        let sql = "DELETE FROM links WHERE source = ?1 OR (source > ?2 AND source < ?3)";
        connection.prepare_cached(sql)?.execute(params![key, from, to])?;
        let sql = "DELETE FROM resources WHERE key = ?1 OR (key > ?2 AND key < ?3)";
        Ok(connection.prepare_cached(sql)?.execute(params![key, from, to])?)
    }

    /// Keys of network resources that name another one, by its key, in an `id` of their properties.
    pub fn users(connection: &Connection, key: &str) -> Result<Vec<String>, ArmError> {
        let sql = "SELECT source FROM links JOIN resources ON key = source
            WHERE target = ?1 AND source <> ?1 AND type LIKE 'microsoft.network/%' ORDER BY source";
        let mut statement = connection.prepare_cached(sql)?;
        let found = statement.query_map([key], |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Resources of a type inside a scope, from after a key on, at most `limit`.
    pub fn of_type(
        connection: &Connection,
        resource_type: &str,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, ArmError> {
        let (from, to) = rest_of(scope, after);
        let sql = format!(
            "SELECT {COLUMNS} FROM resources WHERE type = ?1 AND key > ?2 AND key < ?3 ORDER BY key LIMIT ?4"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement.query_map(params![resource_type, from, to, more_than(limit)], Self::read)?;
        Self::page(found, limit)
    }

    /// All resources inside a scope whose type begins so.
    pub fn of_types(connection: &Connection, start: &str, scope: &str) -> Result<Vec<Self>, ArmError> {
        let (from, to) = inside(scope);
        let sql = format!(
            "SELECT {COLUMNS} FROM resources WHERE type >= ?1 AND type < ?2 AND key > ?3 AND key < ?4 ORDER BY key"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let end = format!("{start}\u{7f}");
        let found = statement.query_map(params![start, end, from, to], Self::read)?;
        Ok(Self::page(found, ALL)?.rows)
    }

    /// Everything inside a scope, from after a key on, at most `limit`.
    pub fn within(
        connection: &Connection,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, ArmError> {
        let (from, to) = rest_of(scope, after);
        let sql =
            format!("SELECT {COLUMNS} FROM resources WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3");
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement.query_map(params![from, to, more_than(limit)], Self::read)?;
        Self::page(found, limit)
    }

    fn page(
        found: impl Iterator<Item = rusqlite::Result<(String, String, String, i64, i64)>>,
        limit: usize,
    ) -> Result<Page, ArmError> {
        let mut rows = Vec::new();
        for row in found {
            rows.push(Self::of(row?)?);
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        let after = if more { rows.last().map(|row| row.key.clone()) } else { None };
        Ok(Page { rows, after })
    }
}

/// What a value names: every `id` in it, in lower case.
fn links(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| links(item, into)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(id) if name == "id" => drop(into.insert(id.to_ascii_lowercase())),
                    _ => links(value, into),
                }
            }
        }
        _ => {}
    }
}

/// One more than a limit, so that a page knows whether there is another.
fn more_than(limit: usize) -> i64 {
    i64::try_from(limit).map_or(i64::MAX, |limit| limit.saturating_add(1))
}

/// The bounds of keys inside a scope, from after a key on. That key is a client's to say, and leads out of no scope.
fn rest_of(scope: &str, after: Option<&str>) -> (String, String) {
    let (from, to) = inside(scope);
    (after.map_or(from.clone(), |after| from.max(after.to_owned())), to)
}

/// The bounds of keys inside a scope: `0` follows `/`.
fn inside(scope: &str) -> (String, String) {
    let scope = scope.trim_end_matches('/').to_ascii_lowercase();
    (format!("{scope}/"), format!("{scope}0"))
}

#[cfg(test)]
mod tests {
    use super::rest_of;

    #[test]
    fn where_a_page_begins_leads_out_of_no_scope() {
        let (from, to) = rest_of("/subscriptions/s/resourceGroups/b", Some("/"));
        assert_eq!(
            (from.as_str(), to.as_str()),
            ("/subscriptions/s/resourcegroups/b/", "/subscriptions/s/resourcegroups/b0")
        );
        let (from, _) =
            rest_of("/subscriptions/s/resourceGroups/b", Some("/subscriptions/s/resourcegroups/b/x"));
        assert_eq!(from, "/subscriptions/s/resourcegroups/b/x");
    }
}
