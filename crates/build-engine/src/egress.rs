//! The egress record of a build, and what a refusal means to the person who reads it.

use egress_gateway::{Connection, Layer, Outcome};
use network_policy::{Application, Destination, Direction, Flow, NO_RULE, NetworkPolicy, Protocol};

/// A download of the engine itself: step 0 of the record.
pub fn own_download(name: &str, port: u16, bytes_in: u64) -> Connection {
    Connection {
        step: 0,
        name: Some(name.to_owned()),
        address: None,
        port,
        protocol: "tcp".to_owned(),
        decision: Outcome::Allowed,
        layer: Layer::Gateway,
        rule: "fetched by the engine, as the service fetches it before a build".to_owned(),
        bytes_out: 0,
        bytes_in,
        count: 1,
        resource: String::new(),
        note: None,
        refused: false,
    }
}

/// One sentence about a refused connection: who, by which rule.
pub fn sentence(row: &Connection) -> String {
    let target =
        row.name.clone().or_else(|| row.address.map(|address| address.to_string())).unwrap_or_default();
    let port = if row.port == 0 { String::new() } else { format!(":{}", row.port) };
    let protocol = if row.protocol == "tcp" { String::new() } else { format!(" ({})", row.protocol) };
    let verdict = match row.decision {
        Outcome::Undecided => "left undecided by",
        Outcome::Allowed | Outcome::Denied => "refused by",
    };
    let (who, rule) = match row.layer {
        Layer::Platform | Layer::Gateway => ("the local build".to_owned(), row.rule.clone()),
        // A rule that is missing is missing from the policy as a whole.
        _ if row.resource.is_empty() || row.rule == NO_RULE => {
            ("the egress policy".to_owned(), row.rule.clone())
        }
        _ => (format!("the egress policy ({})", row.resource), row.rule.clone()),
    };
    format!("{target}{port}{protocol} {verdict} {who} ({rule})")
}

/// The refusals that a person needs to hear of: a name that was asked for and then dialled is one refusal, not two.
pub fn telling(rows: &[Connection]) -> Vec<&Connection> {
    let refused: Vec<_> = rows.iter().filter(|row| row.refused).collect();
    let dialled = |question: &Connection| {
        refused
            .iter()
            .any(|row| row.protocol != "dns" && row.step == question.step && row.name == question.name)
    };
    refused.iter().copied().filter(|row| row.protocol != "dns" || !dialled(row)).collect()
}

/// What to add to the policy so that the refused connections pass; none when nothing can let them pass.
pub fn suggestions(policy: &NetworkPolicy, refused: &[Connection]) -> Option<String> {
    let mut all: Vec<String> = Vec::new();
    let own = [Layer::Gateway, Layer::Platform];
    for row in telling(refused).into_iter().filter(|row| !own.contains(&row.layer)) {
        let Some(flow) = flow_of(policy, row) else { continue };
        let text = policy.suggestion(&flow);
        if !text.is_empty() && !all.contains(&text) {
            all.push(text);
        }
    }
    (!all.is_empty()).then(|| format!("to allow it add {}", all.join("; ")))
}

fn flow_of(policy: &NetworkPolicy, row: &Connection) -> Option<Flow> {
    let destination = match (&row.name, row.address) {
        (Some(name), _) => Destination::Name(name.clone()),
        (None, Some(address)) => Destination::Address(address),
        (None, None) => return None,
    };
    let (protocol, port) = match row.protocol.as_str() {
        // A name that was refused when it was asked for was most likely wanted for TLS.
        "dns" => (Protocol::Tcp, 443),
        "tcp" => (Protocol::Tcp, row.port),
        "udp" => (Protocol::Udp, row.port),
        "icmp" => (Protocol::Icmp, 0),
        _ => return None,
    };
    let application = match (protocol, port, row.name.is_some()) {
        (Protocol::Tcp, 443, true) => Some(Application::Https),
        (Protocol::Tcp, 80, true) => Some(Application::Http),
        _ => None,
    };
    let source = policy.build_machine();
    Some(Flow {
        direction: Direction::Outbound,
        protocol,
        source,
        source_port: 50_000,
        destination,
        port,
        application,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(protocol: &str, port: u16) -> Connection {
        let row = own_download("get.example.com", port, 0);
        let (decision, layer) = (Outcome::Denied, Layer::FirewallApplication);
        let rule = "no rule allows it".to_owned();
        Connection { step: 4, protocol: protocol.to_owned(), decision, layer, rule, refused: true, ..row }
    }

    #[test]
    fn a_refusal_names_the_port_and_the_rule_and_what_to_add() {
        let rows = [refused("dns", 53), refused("tcp", 443)];
        let telling = telling(&rows);
        assert_eq!(telling.len(), 1);
        let text = sentence(telling[0]);
        assert_eq!(text, "get.example.com:443 refused by the egress policy (no rule allows it)");
        let policy = NetworkPolicy::default_for(&[]);
        let hint = suggestions(&policy, &rows).expect("a suggestion");
        assert_eq!(hint, "to allow it add allow = [\"get.example.com:443\"] in jumpbox.toml");
    }

    #[test]
    fn a_name_that_was_only_asked_for_is_told_too() {
        assert_eq!(telling(&[refused("dns", 53)]).len(), 1);
    }
}
