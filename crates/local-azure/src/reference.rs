//! What is offered, as tables for people: made from the tables that requests are answered by.

use std::fmt::Write as _;

use crate::offers::{Needs, OFFERS};
use crate::types::TYPES;

/// The operations and resource types of the endpoint, in Markdown.
pub fn reference() -> String {
    let mut page = String::from("## Operations\n\n| method | path | does | needs |\n|---|---|---|---|\n");
    for offer in OFFERS {
        let needs = match offer.needs {
            Needs::Nothing => "nothing".to_owned(),
            Needs::Token => "a token".to_owned(),
            Needs::Action(action, _) => format!("`{action}`"),
            Needs::OfType => "the action of its type".to_owned(),
        };
        let _ = writeln!(page, "| {} | `{}` | {} | {needs} |", offer.method, offer.path, offer.does);
    }
    page += "\n## Resource types\n\nEvery type can be written (PUT), read (GET, HEAD), listed, tagged (PATCH) and deleted, \
             each with the action of its type, such as `Microsoft.Network/virtualNetworks/write`. A type that is not in \
             this table is stored and returned as it is, and answers say so in `x-ms-local-note`. Actions that are not in \
             this table answer `NotImplementedLocally`.\n\n| type | what happens | actions |\n|---|---|---|\n";
    for known in TYPES {
        let actions: Vec<_> =
            known.actions.iter().map(|act| format!("`{}`: {}", act.name, act.does)).collect();
        let _ = writeln!(page, "| `{}` | {} | {} |", known.name, known.does, actions.join("; "));
    }
    page
}
