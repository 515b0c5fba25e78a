//! Functions of the scope that a deployment is in.

use super::{Function, Made, Run};
use crate::ResourceId;
use crate::template::eval::Call;
use crate::template::fault::Fault;
use crate::template::place::{Level, text_or_symbol};
use crate::template::value::{Field, Val};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "managementGroup", arity: (0, 0), does: "the management group of the deployment", run: Run::Runtime("the management group of the deployment") },
    Function { name: "resourceGroup", arity: (0, 0), does: "the resource group: id, name, location (else that of the environment), type", run: Run::Call(group) },
    Function { name: "subscription", arity: (0, 0), does: "the subscription: id, subscriptionId", run: Run::Call(subscription) },
    Function { name: "tenant", arity: (0, 0), does: "the tenant", run: Run::Runtime("the tenant of the deployment") },
];

const NO_GROUP: &str = "the source's resource group";
const NO_SUBSCRIPTION: &str = "the environment's subscription";

/// Why an id is not known to its last part.
pub fn lacking(id: &str) -> &'static str {
    match id {
        id if id.starts_with("/subscriptions/*") => NO_SUBSCRIPTION,
        id if id.starts_with("/subscriptions/") => NO_GROUP,
        _ => "the management group of the deployment",
    }
}

fn group(call: &Call<'_, '_, '_>) -> Made {
    let place = &call.context.frame.place;
    if place.level != Level::Group {
        return Err(Fault::new("not-here", "the deployment is not one to a resource group")
            .hinting("give the nested deployment a `resourceGroup` and an inner scope"));
    }
    let id = place.id();
    let reason = lacking(&id);
    let mut members = vec![
        Field::new("id", text_or_symbol(id.clone(), reason)),
        Field::new("name", text_or_symbol(place.group.clone(), NO_GROUP)),
        Field::new("type", Val::text("Microsoft.Resources/resourceGroups")),
    ];
    let told = ResourceId::parse(&id).ok().and_then(|id| call.evaluator.world.borrow_mut().known(&id));
    let told =
        told.as_ref().and_then(Val::as_object).map(|fields| fields.members.clone()).unwrap_or_default();
    let more = told.into_iter().filter(|field| ["location", "tags"].contains(&field.key.as_ref()));
    members.extend(more);
    if let (Some(location), false) =
        (&place.location, members.iter().any(|field| field.key.as_ref() == "location"))
    {
        members.push(Field::new("location", Val::text(location.as_str())));
    }
    Ok(Val::object(members)?.within(Some(&"the resource group, which no document tells".into())))
}

#[expect(clippy::unnecessary_wraps, reason = "the functions of the table may fail")]
fn subscription(call: &Call<'_, '_, '_>) -> Made {
    let place = &call.context.frame.place;
    let id = text_or_symbol(format!("/subscriptions/{}", place.subscription), NO_SUBSCRIPTION);
    let members =
        [("id", id), ("subscriptionId", text_or_symbol(place.subscription.clone(), NO_SUBSCRIPTION))];
    Ok(Val::fields(members).within(Some(&"the subscription, which only Azure knows".into())))
}
