//! The part of the template language that names resources: enough for references between the resources of one
//! template, as exports write them. Every other expression stays unknown.
//!
//! A name that hangs on a parameter without a value is a *hole*, `{parameters('x')}`: not known, but the same
//! wherever it stands, so that a reference to a resource still finds the resource of that name.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use document::{Kind, Span, Value, quote};

use super::Scope;
use crate::inventory::is_expression;

/// The deepest nesting of calls and of variables that refer to variables.
const MAX_DEPTH: usize = 32;

/// The most values that the expressions of one template may be made of: variables made of variables can double
/// with every level.
const BUDGET: usize = 1_000_000;

/// The longest text that an expression may make, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// What the expressions of one template may refer to, names in lower case.
#[derive(Debug)]
pub(super) struct Symbols {
    /// Values of parameters; `None` where there is none.
    parameters: Rc<HashMap<String, Option<Value>>>,
    variables: Rc<HashMap<String, Value>>,
    pub scope: Scope,
    /// How many more values are looked up before everything else is unknown.
    budget: Cell<usize>,
}

/// Why an expression has no value: a phrase for what would have to be known.
type Evaluated = Result<Value, String>;

impl Symbols {
    pub fn new(
        parameters: HashMap<String, Option<Value>>,
        variables: HashMap<String, Value>,
        scope: Scope,
    ) -> Self {
        let (parameters, variables) = (Rc::new(parameters), Rc::new(variables));
        Self { parameters, variables, scope, budget: Cell::new(BUDGET) }
    }

    /// The same names in another scope.
    pub fn in_scope(&self, scope: Scope) -> Self {
        let (parameters, variables) = (Rc::clone(&self.parameters), Rc::clone(&self.variables));
        Self { parameters, variables, scope, budget: self.budget.clone() }
    }

    /// Counts a value that was looked up; false when the budget is used up.
    fn spend(&self) -> bool {
        let left = self.budget.get();
        self.budget.set(left.saturating_sub(1));
        left > 0
    }

    /// A value with every expression in it evaluated or unknown.
    pub fn value(&self, value: &Value) -> Value {
        self.resolved(value, 0)
    }

    fn resolved(&self, value: &Value, depth: usize) -> Value {
        if depth > 0 && !self.spend() {
            return Value::unknown(value.span, "an expression that is too large to be evaluated");
        }
        let kind = match &value.kind {
            Kind::String(text) if is_expression(text) => match self.expression(text, value.span, depth) {
                Ok(found) => known(found, text),
                Err(reason) => Kind::Unknown(reason),
            },
            Kind::String(text) if text.starts_with("[[") => Kind::String(text[1..].to_owned()),
            Kind::Array(items) => Kind::Array(items.iter().map(|item| self.resolved(item, depth)).collect()),
            Kind::Object(object) => {
                let mut members: Vec<_> = object.iter().cloned().collect();
                for member in &mut members {
                    member.value = self.resolved(&member.value, depth);
                }
                Kind::Object(document::Object::of(members))
            }
            other => other.clone(),
        };
        Value { span: value.span, kind }
    }

    /// The text of a name, possibly with holes; `None` when not even that is known.
    pub fn name(&self, value: &Value) -> Option<String> {
        let text = value.as_str()?;
        if !is_expression(text) {
            return Some(text.to_owned());
        }
        self.expression(text, value.span, 0).ok()?.as_str().map(str::to_owned)
    }

    fn expression(&self, text: &str, span: Span, depth: usize) -> Evaluated {
        let mut parser = Parser { text: &text[1..text.len() - 1], at: 0, symbols: self, span };
        let value = parser.term(depth)?;
        parser.blank();
        if parser.at == parser.text.len() {
            Ok(value)
        } else {
            Err(format!("the expression {}", quote(text)))
        }
    }
}

/// What an evaluated expression is as a value: a text with a hole is known only as the id of a resource.
fn known(value: Value, expression: &str) -> Kind {
    match value.kind {
        Kind::String(text) if has_hole(&text) && !text.starts_with("/subscriptions/") => {
            Kind::Unknown(format!("the expression {}", quote(expression)))
        }
        kind => kind,
    }
}

fn has_hole(text: &str) -> bool {
    text.contains("{parameters(") || text.contains("{variables(")
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    symbols: &'a Symbols,
    span: Span,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, mark: char) -> bool {
        self.blank();
        let found = self.rest().starts_with(mark);
        self.at += usize::from(found);
        found
    }

    fn whole(&self) -> String {
        format!("the expression {}", quote(&format!("[{}]", self.text)))
    }

    fn string(&self, text: impl Into<String>) -> Value {
        Value { span: self.span, kind: Kind::String(text.into()) }
    }

    /// A literal or a call, with the properties taken of its value.
    fn term(&mut self, depth: usize) -> Evaluated {
        if depth > MAX_DEPTH || !self.symbols.spend() {
            return Err(self.whole());
        }
        self.blank();
        if self.eat('\'') {
            return self.literal();
        }
        let word: String =
            self.rest().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if word.is_empty() {
            return Err(self.whole());
        }
        self.at += word.len();
        if let Ok(number) = word.parse::<i64>() {
            return Ok(Value { span: self.span, ..Value::from(number) });
        }
        if !self.eat('(') {
            return Err(self.whole());
        }
        let mut arguments = Vec::new();
        while !self.eat(')') {
            arguments.push(self.term(depth + 1)?);
            self.eat(',');
        }
        let mut value = self.call(&word, &arguments, depth)?;
        while self.eat('.') {
            let field: String =
                self.rest().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            self.at += field.len();
            let member = value.as_object().and_then(|object| object.find(&field));
            value = member.map(|member| member.value.clone()).ok_or_else(|| self.whole())?;
        }
        Ok(value)
    }

    /// The rest of a literal in single quotes; two of them stand for one.
    fn literal(&mut self) -> Evaluated {
        let mut out = String::new();
        loop {
            let Some(end) = self.rest().find('\'') else { return Err(self.whole()) };
            out.push_str(&self.rest()[..end]);
            self.at += end + 1;
            if !self.rest().starts_with('\'') {
                return Ok(self.string(out));
            }
            out.push('\'');
            self.at += 1;
        }
    }

    fn call(&self, function: &str, arguments: &[Value], depth: usize) -> Evaluated {
        let texts: Option<Vec<&str>> = arguments.iter().map(Value::as_str).collect();
        match (function.to_ascii_lowercase().as_str(), texts.as_deref()) {
            ("parameters", Some([name])) => self.parameter(name, depth),
            ("variables", Some([name])) => {
                let value = self.symbols.variables.get(&name.to_ascii_lowercase());
                self.reference(value.ok_or_else(|| self.whole())?, depth)
            }
            ("concat", Some(parts)) if parts.iter().map(|part| part.len()).sum::<usize>() <= MAX_TEXT => {
                Ok(self.string(parts.concat()))
            }
            ("resourceid", Some(parts)) => self.resource_id(parts).ok_or_else(|| self.whole()),
            ("resourcegroup", Some([])) => Ok(self.scope_object()),
            ("subscription", Some([])) => {
                let id = self.symbols.scope.subscription.clone().unwrap_or_else(|| "*".to_owned());
                Ok(Value::object([("subscriptionId", self.string(id))]))
            }
            _ => Err(self.whole()),
        }
    }

    fn parameter(&self, name: &str, depth: usize) -> Evaluated {
        match self.symbols.parameters.get(&name.to_ascii_lowercase()) {
            Some(Some(value)) => self.reference(value, depth),
            // The name may hold what would split an id.
            Some(None) => {
                Ok(self.string(format!("{{parameters('{}')}}", name.to_ascii_lowercase().replace('/', ""))))
            }
            None => Err(self.whole()),
        }
    }

    /// The value behind a name, which may be an expression itself.
    fn reference(&self, value: &Value, depth: usize) -> Evaluated {
        let resolved = match value.as_str() {
            Some(text) if is_expression(text) => self.symbols.expression(text, value.span, depth + 1)?,
            _ if depth < MAX_DEPTH => self.symbols.resolved(value, depth + 1),
            _ => return Err(self.whole()),
        };
        match resolved.unknown_because() {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(resolved),
        }
    }

    /// `resourceId([subscription,] [group,] type, name...)`.
    fn resource_id(&self, parts: &[&str]) -> Option<Value> {
        let at = parts.iter().position(|part| part.contains('/'))?;
        let (resource_type, names) = (parts[at], parts.get(at + 1..)?);
        if names.len() + 1 != resource_type.split('/').count() || names.iter().any(|name| name.contains('/'))
        {
            return None;
        }
        let mut scope = self.symbols.scope.clone();
        match parts[..at] {
            [] => {}
            [group] => scope.resource_group = Some(group.to_owned()),
            [subscription, group] => {
                scope.subscription = Some(subscription.to_owned());
                scope.resource_group = Some(group.to_owned());
            }
            _ => return None,
        }
        Some(self.string(scope.id(resource_type, &names.join("/"))?.to_string()))
    }

    fn scope_object(&self) -> Value {
        let scope = &self.symbols.scope;
        let mut members = Vec::new();
        if let Some(location) = &scope.location {
            members.push(("location", self.string(location)));
        }
        if let Some(group) = &scope.resource_group {
            members.push(("name", self.string(group)));
        }
        Value::object(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols() -> Symbols {
        let text = |text: &str| Value::from(text);
        Symbols::new(
            HashMap::from([("nsg".into(), Some(text("nsg-build"))), ("vnet".into(), None)]),
            [
                ("subnet".into(), text("[concat(parameters('Vnet'), '/', variables('leaf'))]")),
                ("leaf".into(), text("build")),
                ("loop".into(), text("[variables('loop')]")),
                ("settings".into(), Value::object([("name", text("it''s"))])),
                (
                    "double".into(),
                    text(&format!("[concat({0}, {0})]", "concat(variables('d0'), variables('d0'))")),
                ),
            ]
            .into_iter()
            .chain((0..31).map(|i| {
                (format!("d{i}"), Value::array(vec![text(&format!("[variables('d{}')]", i + 1)); 2]))
            }))
            .collect(),
            Scope { subscription: Some("s".into()), resource_group: None, location: None },
        )
    }

    #[test]
    fn references_are_evaluated_and_the_rest_is_unknown() {
        let symbols = symbols();
        let value = |text: &str| symbols.value(&Value::from(text));
        assert_eq!(value("[parameters('NSG')]").as_str(), Some("nsg-build"));
        assert_eq!(
            value("[resourceId('Microsoft.Network/networkSecurityGroups', parameters('nsg'))]").as_str(),
            Some(
                "/subscriptions/s/resourceGroups/*/providers/Microsoft.Network/networkSecurityGroups/nsg-build"
            )
        );
        assert_eq!(
            value("[resourceId( 'hub', 'Microsoft.Network/virtualNetworks', parameters('vnet') )]").as_str(),
            Some(
                "/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/{parameters('vnet')}"
            )
        );
        assert_eq!(
            symbols.name(&Value::from("[variables('subnet')]")).as_deref(),
            Some("{parameters('vnet')}/build")
        );
        assert_eq!(value("[variables('settings').name]").as_str(), Some("it''s"));
        assert_eq!(value("[concat('it''s', ' so')]").as_str(), Some("it's so"));
        assert_eq!(value("[[not one]").as_str(), Some("[not one]"));
        for open in [
            "[parameters('vnet')]",
            "[variables('subnet')]",
            "[variables('loop')]",
            "[parameters('nobody')]",
            "[reference('x').id]",
            "[concat('a', 1)]",
            "[concat('a']",
            "[]",
            "['a' 'b']",
            "[parameters('nsg')]]",
            "[parameters('nsg').x]",
            "[résumé()]",
            "[variables('double')]",
        ] {
            assert!(value(open).unknown_because().is_some(), "{open}: {:?}", value(open));
        }
        let deep = format!("[{}'a'{}]", "concat(".repeat(10_000), ")".repeat(10_000));
        assert!(value(&deep).unknown_because().is_some());
    }
}
