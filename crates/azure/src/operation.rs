//! Operations that outlive their request (Azure Resource Manager, asynchronous operations).

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::{Answer, Client};
use crate::error::{Error, ErrorKind, ServiceError};

/// What is waited when the service gives no hint (azure-clients.md 3, rule 4).
const WITHOUT_A_HINT: Duration = Duration::from_secs(30);

/// An operation that goes on: enough for any process to ask about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Where to ask.
    pub url: String,
    /// What the answers are like.
    pub follow: Follow,
    /// Milliseconds to wait before asking.
    pub after_ms: u64,
}

/// What the answers about an operation are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Follow {
    /// A document with a `status` (header `Azure-AsyncOperation`).
    AsyncOperation,
    /// 202 until it has ended (header `Location`).
    Location,
}

/// How an operation stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Poll {
    /// It goes on.
    Running {
        /// How long to wait before asking again.
        after: Duration,
    },
    /// It has ended well.
    Succeeded,
    /// It has ended badly.
    Failed(ServiceError),
    /// Somebody stopped it.
    Canceled,
}

/// What the answers of the first kind hold.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: Option<ServiceError>,
}

/// What the service says to wait; it counts what is none as no hint.
pub(crate) fn hint(answer: &Answer) -> Option<Duration> {
    let milliseconds = ["retry-after-ms", "x-ms-retry-after-ms"].iter().find_map(|name| answer.header(name));
    let exact = milliseconds.and_then(|text| text.trim().parse().ok()).map(Duration::from_millis);
    let told = exact.or_else(|| {
        let text = answer.header("retry-after")?.trim();
        text.parse().ok().map(Duration::from_secs).or_else(|| until(text))
    });
    told.filter(|time| !time.is_zero())
}

/// How long it is until a time as HTTP writes it.
fn until(text: &str) -> Option<Duration> {
    let time = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(time.duration_since(jiff::Timestamp::now())).ok()
}

impl Operation {
    /// The operation that an answer tells of; none when it has ended with the answer.
    pub(crate) fn of(answer: &Answer) -> Option<Self> {
        Self::at(answer, "azure-asyncoperation", Follow::AsyncOperation).or_else(|| Self::with_result(answer))
    }

    /// The same by the address of its result.
    pub(crate) fn with_result(answer: &Answer) -> Option<Self> {
        Self::at(answer, "location", Follow::Location).filter(|_| matches!(answer.status, 201 | 202))
    }

    fn at(answer: &Answer, header: &str, follow: Follow) -> Option<Self> {
        let after = hint(answer).unwrap_or(WITHOUT_A_HINT);
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Some(Self { url: answer.header(header)?.to_owned(), follow, after_ms })
    }
}

/// What an operation that ends with an answer has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// It goes on.
    Running {
        /// How long to wait before asking again.
        after: Duration,
    },
    /// Its answer; none where it has no body.
    Ended(Option<T>),
}

impl Client {
    /// Asks for the answer of an operation, once: of those whose `Location` leads to it.
    ///
    /// # Errors
    /// When it cannot be asked, or the operation failed.
    pub fn outcome<T: DeserializeOwned>(&self, operation: &Operation) -> Result<Outcome<T>, Error> {
        let answer = self.get_own(&operation.url)?;
        match answer.status {
            202 => Ok(Outcome::Running { after: hint(&answer).unwrap_or(WITHOUT_A_HINT) }),
            _ if answer.is_success() => answer.read().map(Outcome::Ended),
            _ => Err(answer.refused()),
        }
    }

    /// Asks how an operation stands, once.
    ///
    /// # Errors
    /// When it cannot be asked; that says nothing about the operation.
    pub fn poll(&self, operation: &Operation) -> Result<Poll, Error> {
        let answer = self.get_own(&operation.url)?;
        let running = || Poll::Running { after: hint(&answer).unwrap_or(WITHOUT_A_HINT) };
        if operation.follow == Follow::Location {
            return match answer.status {
                202 => Ok(running()),
                200..=299 => Ok(Poll::Succeeded),
                404 | 408 | 429 | 500.. => Err(answer.refused()),
                status => Ok(Poll::Failed(ServiceError::read(status, &answer.body))),
            };
        }
        if !answer.is_success() {
            return Err(answer.refused());
        }
        let told: Status = serde_json::from_slice(&answer.body)
            .map_err(|error| answer.error(ErrorKind::Malformed { message: error.to_string() }))?;
        Ok(match told.status.to_ascii_lowercase().as_str() {
            "succeeded" => Poll::Succeeded,
            "failed" => Poll::Failed(told.error.unwrap_or_default().without_secrets()),
            "canceled" | "cancelled" => Poll::Canceled,
            _ => running(),
        })
    }
}
