//! Resources that wait for each other.

use std::collections::HashMap;

use document::{Diagnostic, Severity, Value};

use super::eval::{Context, Evaluator};
use super::frame::{Frame, Named};
use super::instances::Instance;
use crate::read::member;

/// The positions of what each resource waits for. Reports one whose `dependsOn` leads back to it: Azure deploys no such
/// template, but exports some.
pub fn of<'t>(
    evaluator: &Evaluator<'t>,
    frame: &Frame<'t>,
    instances: &[Instance<'t>],
    severity: Severity,
) -> Vec<Vec<usize>> {
    let places: HashMap<&str, usize> =
        instances.iter().enumerate().map(|(index, instance)| (instance.id.key().as_ref(), index)).collect();
    let edges: Vec<Vec<usize>> =
        instances.iter().map(|instance| targets(evaluator, frame, instance, &places)).collect();
    let mut waiting: Vec<usize> = vec![0; instances.len()];
    for target in edges.iter().flatten() {
        waiting[*target] += 1;
    }
    let mut free: Vec<usize> = (0..instances.len()).filter(|index| waiting[*index] == 0).collect();
    while let Some(index) = free.pop() {
        for &target in &edges[index] {
            waiting[target] -= 1;
            if waiting[target] == 0 {
                free.push(target);
            }
        }
    }
    // What is left is on a circle or is waited for by one; a step along the edges that are left ends on one.
    let Some(mut index) = (0..instances.len()).find(|index| waiting[*index] > 0) else { return edges };
    for _ in 0..instances.len() {
        index = edges[index].iter().copied().find(|target| waiting[*target] > 0).unwrap_or(index);
    }
    let instance = &instances[index];
    let message = format!("`{}` waits for itself", crate::inventory::label(&instance.id));
    let at = member(instance.body, "dependsOn").map_or(instance.body.span, |depends| depends.span);
    let found = Diagnostic::error("cycle", at, message).hinting("take one of the `dependsOn` out");
    evaluator.report(Diagnostic { severity, ..found });
    edges
}

/// The instances that one waits for.
fn targets<'t>(
    evaluator: &Evaluator<'t>,
    frame: &Frame<'t>,
    instance: &Instance<'t>,
    places: &HashMap<&str, usize>,
) -> Vec<usize> {
    let depends = member(instance.body, "dependsOn").and_then(Value::as_array).unwrap_or_default();
    let context = Context::new(frame, &instance.loops);
    let mut found = Vec::new();
    for one in depends {
        let Some(name) = evaluator.value(one, context).symbol() else { continue };
        if name.starts_with('/') {
            found.extend(places.get(name.to_ascii_lowercase().as_str()));
            continue;
        }
        let key = name.to_ascii_lowercase();
        // Waiting for a whole loop adds nothing to what its first turn tells about circles.
        let named = frame.symbolic(&key, |ids| ids.first().cloned()).or_else(|| match frame.named(&key)? {
            Named::One(id) => Some(id),
            Named::Several => None,
        });
        found.extend(named.and_then(|id| places.get(id.key().as_ref())));
    }
    found
}
