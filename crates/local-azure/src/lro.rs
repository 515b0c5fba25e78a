//! Operations that outlive their request: written down before anybody waits for them.

use http::StatusCode;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::LocalAzure;
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::transport::{Request, Response};

/// An operation under way.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub id: String,
    /// Where it runs, as its address says.
    pub location: String,
}

impl Operation {
    /// Writes down that an operation begins on a resource. `replay` is the client's id of the request: the same request,
    /// sent again because its answer was lost, is the same operation.
    pub fn start(
        connection: &Connection,
        key: &str,
        location: &str,
        replay: Option<&str>,
    ) -> Result<Self, ArmError> {
        let operation = Self { id: Uuid::new_v4().to_string(), location: location.to_owned() };
        let sql =
            "INSERT INTO operations (id, key, state, replay, started) VALUES (?1, ?2, 'InProgress', ?3, ?4)";
        let now = jiff::Timestamp::now().as_second();
        connection.prepare_cached(sql)?.execute(params![operation.id, key, replay, now])?;
        Ok(operation)
    }

    /// The operation that the same request has already begun.
    pub fn replayed(
        connection: &Connection,
        key: &str,
        location: &str,
        replay: Option<&str>,
    ) -> Result<Option<Self>, ArmError> {
        let Some(replay) = replay else { return Ok(None) };
        let sql = "SELECT id FROM operations WHERE key = ?1 AND replay = ?2";
        let id: Option<String> =
            connection.prepare_cached(sql)?.query_row(params![key, replay], |row| row.get(0)).optional()?;
        Ok(id.map(|id| Self { id, location: location.to_owned() }))
    }

    /// Writes down how an operation ended: `Succeeded`, `Failed` or `Canceled`.
    pub fn end(
        connection: &Connection,
        id: &str,
        state: &str,
        error: Option<&ArmError>,
    ) -> Result<(), ArmError> {
        let error = error.map(|error| error.to_json().to_string());
        let now = jiff::Timestamp::now().as_second();
        let sql =
            "UPDATE operations SET state = ?2, error = ?3, ended = ?4 WHERE id = ?1 AND state = 'InProgress'";
        connection.prepare_cached(sql)?.execute(params![id, state, error, now])?;
        Ok(())
    }

    /// Writes down what an operation came to.
    pub fn succeed(connection: &Connection, id: &str, result: &Value) -> Result<(), ArmError> {
        let sql = "UPDATE operations SET result = ?2 WHERE id = ?1 AND state = 'InProgress'";
        connection.prepare_cached(sql)?.execute(params![id, result.to_string()])?;
        Self::end(connection, id, "Succeeded", None)
    }

    /// Ends what a process that is no more has left.
    pub fn end_left(connection: &Connection, key: &str, error: &ArmError) -> Result<(), ArmError> {
        let sql = "SELECT id FROM operations WHERE key = ?1 AND state = 'InProgress'";
        let mut statement = connection.prepare_cached(sql)?;
        let ids: Vec<String> = statement.query_map([key], |row| row.get(0))?.collect::<Result<_, _>>()?;
        ids.iter().try_for_each(|id| Self::end(connection, id, "Failed", Some(error)))
    }

    /// An answer that says where to wait. Clients that find no hint of how long wait half a minute.
    pub fn told(
        &self,
        request: &Request,
        azure: &LocalAzure,
        namespace: &str,
        response: Response,
    ) -> Response {
        let version = request.parameter("api-version").unwrap_or_default();
        let place = format!(
            "{}{}/providers/{namespace}/locations/{}",
            request.origin,
            azure.subscription(),
            if self.location.is_empty() { "global" } else { &self.location }
        );
        let url = |kind: &str| format!("{place}/{kind}/{}?api-version={version}", self.id);
        response
            .with_field("azure-asyncoperation", &url("operations"))
            .with_field("location", &url("operationResults"))
            .with_field("retry-after", "1")
    }
}

/// How an operation stands.
pub(crate) fn get(call: &mut Call<'_>) -> Answer {
    let (state, body) = found(call)?;
    let response = Response::json(StatusCode::OK, &body);
    let own = Operation {
        id: call.variable("operation").to_owned(),
        location: call.variable("location").to_owned(),
    };
    let running = state == "InProgress";
    Ok(if running {
        own.told(&call.request, call.azure, call.variable("namespace"), response)
    } else {
        response
    })
}

/// What an operation came to: 202 while it runs, then its result, 204 where it has none, or its error.
pub(crate) fn result(call: &mut Call<'_>) -> Answer {
    let (state, body) = found(call)?;
    let own = Operation {
        id: call.variable("operation").to_owned(),
        location: call.variable("location").to_owned(),
    };
    Ok(match state.as_str() {
        "InProgress" => {
            let response = Response::empty(StatusCode::ACCEPTED);
            own.told(&call.request, call.azure, call.variable("namespace"), response)
        }
        "Succeeded" => match &body["properties"]["output"] {
            Value::Null => Response::empty(StatusCode::NO_CONTENT),
            output => Response::json(StatusCode::OK, output),
        },
        _ => Response::json(StatusCode::CONFLICT, &json!({ "error": body["error"] })),
    })
}

fn found(call: &Call<'_>) -> Result<(String, Value), ArmError> {
    let id = call.variable("operation").to_ascii_lowercase();
    let row = call.azure.store.read(|connection| {
        let sql = "SELECT state, started, ended, result, error FROM operations WHERE id = ?1";
        let told = |row: &rusqlite::Row<'_>| {
            let (state, started): (String, i64) = (row.get(0)?, row.get(1)?);
            let mut body = json!({ "status": state, "startTime": time(started) });
            if let Some(ended) = row.get(2)? {
                body["endTime"] = time(ended).into();
            }
            let inner = |text: String| serde_json::from_str::<Value>(&text).unwrap_or_default();
            if let Some(result) = row.get::<_, Option<String>>(3)? {
                body["properties"]["output"] = inner(result);
            }
            if let Some(error) = row.get::<_, Option<String>>(4)? {
                body["error"] = inner(error);
            }
            Ok((state, body))
        };
        Ok(connection.prepare_cached(sql)?.query_row([&id], told).optional()?)
    })?;
    let Some((state, mut body)) = row else {
        return Err(ArmError::not_found("OperationNotFound", format!("No operation '{id}' was found.")));
    };
    body["id"] = call.path.without(0).into();
    body["name"] = id.into();
    Ok((state, body))
}

/// A time as Azure writes it.
pub(crate) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
}
