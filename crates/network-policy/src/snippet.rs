//! Changes of network security groups as people apply them: ARM JSON, Azure command line, Terraform.

use std::fmt::Write as _;

use serde_json::Value;

use crate::address::{Address, PortRange};
use crate::emit;
use crate::flow::Direction;
use crate::matching::Access;
use crate::nsg::SecurityRule;
use crate::repair::{NewRule, Renumbered};

/// Stands where the documents do not tell the resource group.
const SOME_GROUP: &str = "RESOURCE_GROUP";

impl NewRule {
    /// The entry of the group's `securityRules`.
    pub fn to_arm_json(&self) -> String {
        format!("{:#}", emit::security_rule(&self.rule))
    }

    /// The command that adds it, quoted for a shell. The resource group is `RESOURCE_GROUP` when it is not known.
    pub fn to_az(&self) -> String {
        let mut words = az("create", &self.nsg, &self.rule.name, self.rule.priority);
        let rule = &self.rule;
        let mut option = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                words.push(format!("--{name}"));
                words.extend(values.iter().map(|value| quoted(value)));
            }
        };
        option("direction", vec![direction(rule.direction).to_owned()]);
        option("access", vec![access(rule.access).to_owned()]);
        option("protocol", vec![rule.protocol.to_string()]);
        for (side, addresses, ports) in sides(rule) {
            let (groups, prefixes) = split(addresses);
            option(&format!("{side}-address-prefixes"), prefixes);
            option(&format!("{side}-asgs"), groups);
            option(&format!("{side}-port-ranges"), ports.iter().map(ToString::to_string).collect());
        }
        words.join(" ")
    }

    /// An `azurerm_network_security_rule`. The resource group is `RESOURCE_GROUP` when it is not known.
    pub fn to_terraform(&self) -> String {
        let rule = &self.rule;
        let (group, nsg) = resource(&self.nsg);
        let label: String = rule
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .collect();
        let mut fields = vec![
            ("name".to_owned(), literal(&rule.name)),
            ("resource_group_name".to_owned(), literal(group)),
            ("network_security_group_name".to_owned(), literal(nsg)),
        ];
        fields.extend(rule.terraform_arguments());
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = format!("resource \"azurerm_network_security_rule\" \"{label}\" {{\n");
        for (name, value) in fields {
            let _ = writeln!(text, "  {name:width$} = {value}");
        }
        text.push('}');
        text
    }
}

impl SecurityRule {
    /// Names and values of its Terraform arguments, all but the name's.
    pub fn terraform_arguments(&self) -> Vec<(String, String)> {
        let mut fields = vec![
            ("priority".to_owned(), self.priority.to_string()),
            ("direction".to_owned(), literal(direction(self.direction))),
            ("access".to_owned(), literal(access(self.access))),
            ("protocol".to_owned(), literal(&self.protocol.to_string())),
        ];
        for (side, addresses, ports) in sides(self) {
            let (groups, prefixes) = split(addresses);
            fields.extend(one_or_many(&format!("{side}_address_prefix"), "es", &prefixes));
            if !groups.is_empty() {
                fields.push((format!("{side}_application_security_group_ids"), list(&groups)));
            }
            let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
            fields.extend(one_or_many(&format!("{side}_port_range"), "s", &ports));
        }
        fields
    }
}

impl Renumbered {
    /// The command that moves it, quoted for a shell. Of several, the one with the highest number comes first.
    pub fn to_az(&self) -> String {
        az("update", &self.nsg, &self.rule, self.to).join(" ")
    }
}

fn az(verb: &str, nsg: &str, rule: &str, priority: u16) -> Vec<String> {
    let (group, nsg) = resource(nsg);
    let mut words: Vec<String> = ["az", "network", "nsg", "rule", verb].map(str::to_owned).to_vec();
    let options = [("resource-group", group), ("nsg-name", nsg), ("name", rule)];
    for (option, value) in options.into_iter().chain([("priority", &*priority.to_string())]) {
        words.extend([format!("--{option}"), quoted(value)]);
    }
    words
}

/// Resource group and name of a resource, of whose id or name only the one or the other is known.
fn resource(id: &str) -> (&str, &str) {
    let segments: Vec<_> = id.split('/').collect();
    let at = segments.iter().position(|segment| segment.eq_ignore_ascii_case("resourceGroups"));
    let group = at.and_then(|at| segments.get(at + 1)).copied().unwrap_or(SOME_GROUP);
    (group, segments.last().copied().unwrap_or(id))
}

fn sides(rule: &SecurityRule) -> [(&'static str, &[Address], &[PortRange]); 2] {
    [
        ("source", &rule.source, &rule.source_ports),
        ("destination", &rule.destination, &rule.destination_ports),
    ]
}

/// Application security groups, and all else.
fn split(addresses: &[Address]) -> (Vec<String>, Vec<String>) {
    let (groups, others): (Vec<_>, Vec<_>) =
        addresses.iter().partition(|address| matches!(address, Address::ApplicationSecurityGroup(_)));
    let texts = |list: Vec<&Address>| list.into_iter().map(ToString::to_string).collect();
    (texts(groups), texts(others))
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "Inbound",
        Direction::Outbound => "Outbound",
    }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Allow => "Allow",
        Access::Deny => "Deny",
    }
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// As Terraform takes it for a text, in which nothing is a template.
pub fn literal(text: &str) -> String {
    Value::from(text).to_string().replace("${", "$${").replace("%{", "%%{")
}

/// A Terraform list of texts.
pub fn list(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| literal(value)).collect::<Vec<_>>().join(", "))
}

fn one_or_many(field: &str, plural: &str, values: &[String]) -> Option<(String, String)> {
    match values {
        [] => None,
        [only] => Some((field.to_owned(), literal(only))),
        several => Some((format!("{field}{plural}"), list(several))),
    }
}
