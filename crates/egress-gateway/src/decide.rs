//! The question that the gateway asks.

use network_policy::{CompiledPolicy, Decision, Flow};

/// A network policy as the gateway sees it. Its one real implementation is [`CompiledPolicy`].
pub trait Decide: Send + Sync {
    /// Decides one connection attempt.
    fn decide(&self, flow: &Flow) -> Decision;

    /// Decides whether some flow to `name` (lower case, no trailing dot) may be allowed on any port, so that
    /// asking the host's resolver makes sense. Denied means that no flow to it is ever allowed.
    fn may_resolve(&self, name: &str) -> Decision;
}

impl Decide for CompiledPolicy {
    fn decide(&self, flow: &Flow) -> Decision {
        Self::decide(self, flow)
    }

    fn may_resolve(&self, name: &str) -> Decision {
        Self::may_resolve(self, name)
    }
}
