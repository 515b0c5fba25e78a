//! Finds the image template in a document and reads what surrounds its properties.

use document::{Diagnostic, Fields, Node, Object, Span, Value, quote};

use super::context::{Context, FIRST, Field};
use super::{properties, steps};
use crate::text::unknown;
use crate::{ApiVersion, Identity, ImageTemplate, RESOURCE_TYPE, Text};

/// The fields of the resource. `type` to `dependsOn` belong to ARM; `id` and `systemData` are Azure's own.
const RESOURCE: [Field; 14] = [
    ("type", FIRST),
    ("apiVersion", FIRST),
    ("name", FIRST),
    ("location", FIRST),
    ("tags", FIRST),
    ("identity", FIRST),
    ("properties", FIRST),
    ("dependsOn", FIRST),
    ("condition", FIRST),
    ("comments", FIRST),
    ("metadata", FIRST),
    ("scope", FIRST),
    ("id", FIRST),
    ("systemData", FIRST),
];

pub(super) fn read(root: &Value) -> (Option<ImageTemplate>, Vec<Diagnostic>) {
    let root = Node::root(root);
    let in_arm_template = root
        .value
        .as_object()
        .is_some_and(|object| ["resources", "$schema"].iter().any(|key| object.get(key).is_some()));
    let mut context = Context::new(ApiVersion::NEWEST, in_arm_template);
    let resource = if in_arm_template { in_template(&mut context, &root) } else { bare(&mut context, root) };
    let template = resource.and_then(|resource| read_resource(&mut context, &resource));
    (template, context.reader.finish())
}

/// The type of a resource, in lower case.
fn type_of(object: &Object) -> Option<String> {
    object.get("type").and_then(Value::as_str).map(str::to_ascii_lowercase)
}

/// The document as the resource itself. A `type`, where given, must be the right one.
fn bare<'a>(context: &mut Context, root: Node<'a>) -> Option<Node<'a>> {
    let other = root.value.as_object().and_then(|object| object.get("type"));
    if let Some(other) = other
        && other.as_str().is_none_or(|text| !text.eq_ignore_ascii_case(RESOURCE_TYPE))
    {
        let message =
            format!("this is {}, not an image template", quote(other.as_str().unwrap_or(other.describe())));
        context.reader.report(
            Diagnostic::error("no-image-template", other.span, message)
                .at("type")
                .expecting(format!("`{RESOURCE_TYPE}`")),
        );
        return None;
    }
    Some(root)
}

/// The one image template among the resources of an ARM template.
fn in_template<'a>(context: &mut Context, root: &Node<'a>) -> Option<Node<'a>> {
    let resources = root.value.as_object()?.iter().find(|member| member.key == "resources");
    let all: Vec<Node<'a>> = match resources.map(|member| root.member(member)) {
        Some(list) if list.value.as_object().is_some() => {
            list.value.as_object()?.iter().map(|member| list.member(member)).collect()
        }
        Some(list) => context.array(&list)?,
        None => Vec::new(),
    };
    let types: Vec<_> = all.iter().map(|node| node.value.as_object().and_then(type_of)).collect();
    let wanted = RESOURCE_TYPE.to_ascii_lowercase();
    let found: Vec<_> = all
        .iter()
        .zip(&types)
        .filter(|(_, kind)| kind.as_deref() == Some(wanted.as_str()))
        .map(|(node, _)| node)
        .collect();
    let span = resources.map_or(root.span(), |member| member.key_span);
    match found[..] {
        [one] => Some(one.clone()),
        [] => {
            let mut types: Vec<_> = types.into_iter().flatten().map(|kind| quote(&kind)).collect();
            types.sort();
            types.dedup();
            types.truncate(8);
            let mut diagnostic =
                Diagnostic::error("no-image-template", span, "this ARM template holds no image template")
                    .at("resources")
                    .expecting(format!("one resource of type `{RESOURCE_TYPE}`"));
            if !types.is_empty() {
                diagnostic = diagnostic.hinting(format!("it holds {}", types.join(", ")));
            }
            context.reader.report(diagnostic);
            None
        }
        [..] => {
            let paths: Vec<_> = found.iter().map(|node| node.path.as_str()).take(8).collect();
            let message = format!("this ARM template holds {} image templates", found.len());
            context.reader.report(
                Diagnostic::error("several-image-templates", span, message)
                    .at("resources")
                    .expecting(format!("one resource of type `{RESOURCE_TYPE}`"))
                    .hinting(format!("keep one of {}", paths.join(", "))),
            );
            None
        }
    }
}

fn read_resource(context: &mut Context, node: &Node<'_>) -> Option<ImageTemplate> {
    // The version decides how strictly everything else is read, so it comes first.
    let version =
        node.value.as_object().and_then(|object| object.iter().find(|member| member.key == "apiVersion"));
    if let Some(member) = version {
        read_version(context, &node.member(member));
    }
    let fields = context.fields(node, &RESOURCE)?;
    let name = fields.get("name").and_then(|name| context.shaped(&name, steps::NAME_RULE, steps::is_name));
    let location =
        context.reader.required(&fields, "location").and_then(|location| read_location(context, &location));
    let tags = context.tags(&fields, "tags");
    let identity = read_identity(context, &fields);
    let properties = context.reader.required(&fields, "properties")?;
    let properties = properties::read(context, &properties)?;
    Some(ImageTemplate {
        api_version: context.version,
        name,
        location: location?,
        tags,
        identity,
        ..properties
    })
}

fn read_version(context: &mut Context, node: &Node<'_>) {
    let Some(text) = node.value.as_str() else {
        context.error(
            "wrong-type",
            node,
            format!("this is {}", node.value.describe()),
            "an API version in quotes",
        );
        return;
    };
    if unknown(text).is_some() {
        let message = format!("{} is not known; the newest API version is assumed", quote(text));
        context.warn("not-known", node.span(), &node.path, message, "only literal values are read here");
        return;
    }
    let Some(version) = ApiVersion::parse(text) else {
        let all: Vec<_> = ApiVersion::ALL.iter().map(|version| version.as_str()).collect();
        let mut diagnostic = Diagnostic::error(
            "unknown-api-version",
            node.span(),
            format!("{} is not an API version of image templates", quote(text)),
        )
        .at(&node.path)
        .expecting(format!("one of {}", all.join(", ")));
        if let Some(near) = document::nearest(text, all.iter().copied()) {
            diagnostic = diagnostic.hinting(format!("did you mean `{near}`?"));
        }
        context.reader.report(diagnostic);
        return;
    };
    context.set_version(version);
    if version.is_preview() {
        let message = format!(
            "`{version}` is a preview from before the service was released; it is read as far as it goes"
        );
        context.warn(
            "preview-api-version",
            node.span(),
            &node.path,
            message,
            format!("use `{}`", ApiVersion::NEWEST),
        );
    }
}

pub(super) fn read_location(context: &mut Context, node: &Node<'_>) -> Option<Text> {
    let location = context.text(node)?;
    if let Some(known) = location.known()
        && !crate::regions::is_listed(known)
    {
        context.warn(
            "unlisted-region",
            node.span(),
            &node.path,
            format!("{} is not among the regions where Azure Image Builder is known to run", quote(known)),
            "ask `az provider show --namespace Microsoft.VirtualMachineImages` for today's list",
        );
    }
    Some(location)
}

/// The template's one identity. Since May 2020 the service refuses a template without it.
fn read_identity(context: &mut Context, fields: &Fields<'_>) -> Option<Identity> {
    const EXAMPLE: &str = "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}";
    let node = if context.version.is_preview() {
        fields.get("identity")?
    } else {
        context.reader.required(fields, "identity")?
    };
    let inner = context.fields(&node, &[("type", FIRST), ("userAssignedIdentities", FIRST)])?;
    if let Some(kind) = context.reader.required(&inner, "type") {
        context.one_of(&kind, &[("UserAssigned", ())]);
    }
    let list = context.reader.required(&inner, "userAssignedIdentities")?;
    let Some(object) = list.value.as_object() else {
        let found = format!("this is {}", list.value.describe());
        context.error("wrong-type", &list, found, "an object whose one name is the identity's resource id");
        return None;
    };
    if object.len() != 1 {
        let message = format!("{} identities are given", object.len());
        context.error("identity-count", &list, message, "exactly one user-assigned identity");
    }
    let mut identity = None;
    for member in object {
        let value = list.member(member);
        context.fields(&value, &[("principalId", FIRST), ("clientId", FIRST)]);
        // The id is the member's name, so it is checked as a value that stands where the name stands.
        let id = Value {
            span: Span::new(member.key_span.start, member.key_span.end),
            ..Value::from(member.key.as_str())
        };
        let id = Node { value: &id, path: list.path.clone() };
        identity = context.resource_id(&id, "Microsoft.ManagedIdentity/userAssignedIdentities", EXAMPLE);
    }
    identity.map(|user_assigned| Identity { user_assigned })
}
