//! The host's own resolver, asked once per name however many connections want it.
//!
//! A slow resolver fails under a hundred parallel look-ups, and a build's package managers ask that many. So
//! answers are kept for a while, look-ups of one name share one answer, few run at once, and a look-up that
//! failed for the moment is tried again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

mod host;

/// Look-ups that run at once.
const AT_ONCE: usize = 8;
/// Names that are remembered.
const MOST: usize = 4096;
/// Pauses before a look-up that failed for the moment is tried again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// The resolver says that the name does not exist, or has no address.
    NoSuchName,
    /// The resolver could not tell.
    Failed(String),
}

type Answer = Result<Arc<[IpAddr]>, LookupError>;
/// Asks the system; blocks.
type Lookup = Arc<dyn Fn(&str) -> Result<Vec<IpAddr>, LookupError> + Send + Sync>;

pub(crate) struct Resolver {
    lookup: Lookup,
    running: Semaphore,
    known: Mutex<HashMap<String, Arc<OnceCell<Kept>>>>,
}

struct Kept {
    answer: Answer,
    until: Instant,
}

impl Resolver {
    /// The resolver of this machine, `getaddrinfo`.
    pub(crate) fn of_host() -> Self {
        Self::with(Arc::new(host::ask))
    }

    pub(crate) fn with(lookup: Lookup) -> Self {
        Self { lookup, running: Semaphore::new(AT_ONCE), known: Mutex::default() }
    }

    /// The addresses of `name`, IPv4 first: a host's IPv6 is the more often broken one.
    pub(crate) async fn resolve(&self, name: &str) -> Answer {
        let cell = self.cell(name);
        cell.get_or_init(|| self.ask(name)).await.answer.clone()
    }

    /// The cell that holds the answer or waits for it; a new one when the old answer is too old.
    fn cell(&self, name: &str) -> Arc<OnceCell<Kept>> {
        let now = Instant::now();
        let usable = |cell: &OnceCell<Kept>| cell.get().is_none_or(|kept| kept.until > now);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = known.get(name).filter(|cell| usable(cell)) {
            return Arc::clone(cell);
        }
        if known.len() >= MOST {
            known.retain(|_, cell| usable(cell));
            if known.len() >= MOST {
                known.clear();
            }
        }
        let cell = Arc::new(OnceCell::new());
        known.insert(name.to_owned(), Arc::clone(&cell));
        cell
    }

    async fn ask(&self, name: &str) -> Kept {
        let mut answer = self.ask_once(name).await;
        for pause in PAUSES {
            if !matches!(answer, Err(LookupError::Failed(_))) {
                break;
            }
            tokio::time::sleep(pause).await;
            answer = self.ask_once(name).await;
        }
        let seconds = match &answer {
            Ok(_) => 60,
            Err(LookupError::NoSuchName) => 5,
            Err(LookupError::Failed(_)) => 1,
        };
        Kept { answer, until: Instant::now() + Duration::from_secs(seconds) }
    }

    async fn ask_once(&self, name: &str) -> Answer {
        let _running = self.running.acquire().await;
        let (lookup, owned) = (Arc::clone(&self.lookup), name.to_owned());
        let answer = tokio::task::spawn_blocking(move || lookup(&owned)).await;
        let mut addresses = answer.unwrap_or_else(|error| Err(LookupError::Failed(error.to_string())))?;
        addresses.sort_by_key(IpAddr::is_ipv6);
        if addresses.is_empty() { Err(LookupError::NoSuchName) } else { Ok(addresses.into()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        // The clock stands still and jumps to the next timer, so that no test waits.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(future)
    }

    #[test]
    fn many_look_ups_of_one_name_ask_once_and_ipv4_comes_first() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let resolver = Resolver::with(Arc::new(move |name| {
            assert_eq!(name, "a.example.com");
            count.fetch_add(1, Ordering::SeqCst);
            Ok(vec!["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()])
        }));
        block_on(async {
            let resolver = Arc::new(resolver);
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..100 {
                let resolver = Arc::clone(&resolver);
                tasks.spawn(async move { resolver.resolve("a.example.com").await });
            }
            for answer in tasks.join_all().await {
                assert_eq!(answer.unwrap()[0], "192.0.2.1".parse::<IpAddr>().unwrap());
            }
        });
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failure_of_the_moment_is_tried_again_and_a_missing_name_is_not() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let resolver =
            Resolver::with(Arc::new(move |name| match (name, count.fetch_add(1, Ordering::SeqCst)) {
                ("missing.example.com", _) => Err(LookupError::NoSuchName),
                (_, 0) => Err(LookupError::Failed("try again".into())),
                _ => Ok(vec!["192.0.2.1".parse().unwrap()]),
            }));
        block_on(async {
            assert!(resolver.resolve("slow.example.com").await.is_ok());
            assert_eq!(asked.load(Ordering::SeqCst), 2);
            assert_eq!(resolver.resolve("missing.example.com").await, Err(LookupError::NoSuchName));
            assert_eq!(asked.load(Ordering::SeqCst), 3);
        });
    }

    #[test]
    fn what_keeps_failing_is_reported_and_what_is_remembered_is_bounded() {
        let resolver = Resolver::with(Arc::new(|_| Err(LookupError::Failed("no server".into()))));
        block_on(async {
            let error = resolver.resolve("a.example.com").await.unwrap_err();
            assert_eq!(error, LookupError::Failed("no server".into()));
            for index in 0..2 * MOST {
                resolver.cell(&format!("n{index}"));
            }
        });
        assert!(resolver.known.lock().unwrap().len() <= MOST);
    }
}
