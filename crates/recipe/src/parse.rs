//! Reads `jumpbox.toml`.

use document::{Diagnostic, Fields, Node, Reader, SourceText};
use image_template::Script;

use crate::{Azure, Base, Build, Endpoint, File, Image, Local, Recipe, SmokeTest, Ssh, Step};

/// What reading a recipe gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The recipe; only there when there is no error.
    pub recipe: Option<Recipe>,
    /// Errors and warnings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a recipe. What the text leaves out is as in the built-in recipe; what it names and nothing knows is an
/// error, with the nearest right spelling.
pub fn parse(source: &SourceText) -> Parsed {
    let document = document::parse_toml(source);
    let mut reader = Reader::new();
    let recipe = document.value.as_ref().and_then(|value| read(&mut reader, &Node::root(value)));
    let mut diagnostics = document.diagnostics;
    diagnostics.extend(reader.finish());
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    let usable = !diagnostics.iter().any(Diagnostic::is_error);
    Parsed { recipe: recipe.filter(|_| usable), diagnostics }
}

const SECTIONS: [&str; 10] =
    ["image", "tools", "ssh", "file", "step", "smoke_test", "build", "network", "local", "azure"];

/// Reads every section, so that every mistake is found; the result counts only when there was none.
fn read(reader: &mut Reader, root: &Node<'_>) -> Option<Recipe> {
    let fields = reader.fields(root, &SECTIONS)?;
    let mut recipe = Recipe::default();
    if let Some(node) = fields.get("image") {
        read_image(reader, &node, &mut recipe.image);
    }
    if let Some(node) = fields.get("tools")
        && let Some(tools) = reader.fields(&node, &["packages"])
        && let Some(packages) = tools.get("packages")
    {
        recipe.packages =
            list(reader, &packages, PACKAGE_RULE, |text| is_package(text).then(|| text.to_owned()));
    }
    if let Some(node) = fields.get("ssh") {
        read_ssh(reader, &node, &mut recipe.ssh);
    }
    recipe.files = tables(reader, &fields, "file", read_file);
    recipe.steps = tables(reader, &fields, "step", read_step);
    recipe.extra_smoke_tests = tables(reader, &fields, "smoke_test", read_smoke_test);
    if let Some(node) = fields.get("build") {
        read_build(reader, &node, &mut recipe.build);
    }
    if let Some(node) = fields.get("network")
        && let Some(network) = reader.fields(&node, &["allow"])
        && let Some(allow) = network.get("allow")
    {
        recipe.allow = list(reader, &allow, ENDPOINT_RULE, Endpoint::parse);
    }
    if let Some(node) = fields.get("local") {
        read_local(reader, &node, &mut recipe.local);
    }
    if let Some(node) = fields.get("azure") {
        read_azure(reader, &node, &mut recipe.azure);
    }
    Some(recipe)
}

const NAME_RULE: &str = "1 to 64 letters, digits, `-`, `_` or `.`";
const PACKAGE_RULE: &str =
    "a package's name: lower-case letters, digits, `+`, `-` and `.`, optionally `=version`";
const ENDPOINT_RULE: &str = "`name:port`, such as `tools.example.com:443`";
const FILE_RULE: &str = "a path or URI without blanks";

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A package's name as Debian allows it, and a version of it. The name goes into a shell command, so nothing else
/// is let through.
fn is_package(text: &str) -> bool {
    let (name, version) = text.split_once('=').unwrap_or((text, "0"));
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    first
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
        && !version.is_empty()
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.:~".contains(&byte))
}

/// A string that becomes something, or an error that says what is expected.
fn shaped<T>(
    reader: &mut Reader,
    node: &Node<'_>,
    expected: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = reader.string(node)?;
    let value = read(text);
    if value.is_none() {
        let message = format!("{} is not allowed", document::quote(text));
        reader.error("bad-value", node, message, expected);
    }
    value
}

fn not_empty(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

fn list<T>(reader: &mut Reader, node: &Node<'_>, expected: &str, read: fn(&str) -> Option<T>) -> Vec<T> {
    let items = reader.array(node).unwrap_or_default();
    items.iter().filter_map(|item| shaped(reader, item, expected, read)).collect()
}

/// The tables of a `[[section]]`.
fn tables<T>(
    reader: &mut Reader,
    fields: &Fields<'_>,
    section: &str,
    read: fn(&mut Reader, &Node<'_>) -> Option<T>,
) -> Vec<T> {
    let items = fields.get(section).and_then(|node| reader.array(&node)).unwrap_or_default();
    items.iter().filter_map(|item| read(reader, item)).collect()
}

/// Sets a value when the file gives it.
fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn integer(reader: &mut Reader, fields: &Fields<'_>, name: &str, most: u32) -> Option<u32> {
    let node = fields.get(name)?;
    reader.integer(&node, 0..=i64::from(most)).and_then(|number| u32::try_from(number).ok())
}

fn boolean(reader: &mut Reader, fields: &Fields<'_>, name: &str) -> Option<bool> {
    fields.get(name).and_then(|node| reader.boolean(&node))
}

fn read_image(reader: &mut Reader, node: &Node<'_>, image: &mut Image) {
    const BASE: &str =
        "`publisher:offer:sku` or `publisher:offer:sku:version`, such as `Debian:debian-13:13-gen2`";
    let Some(fields) = reader.fields(node, &["name", "base", "size"]) else { return };
    if let Some(name) = fields.get("name") {
        set(&mut image.name, shaped(reader, &name, NAME_RULE, |text| is_name(text).then(|| text.to_owned())));
    }
    if let Some(base) = fields.get("base") {
        set(&mut image.base, shaped(reader, &base, BASE, Base::parse));
    }
    set(&mut image.size, integer(reader, &fields, "size", 4095));
}

fn read_ssh(reader: &mut Reader, node: &Node<'_>, ssh: &mut Ssh) {
    let names = ["x11_forwarding", "max_auth_tries", "password_authentication", "permit_root_login"];
    let Some(fields) = reader.fields(node, &names) else { return };
    set(&mut ssh.x11_forwarding, boolean(reader, &fields, "x11_forwarding"));
    if let Some(tries) = fields.get("max_auth_tries")
        && let Some(number) = reader.integer(&tries, 1..=100)
    {
        set(&mut ssh.max_auth_tries, u32::try_from(number).ok());
    }
    set(&mut ssh.password_authentication, boolean(reader, &fields, "password_authentication"));
    set(&mut ssh.permit_root_login, boolean(reader, &fields, "permit_root_login"));
}

fn read_build(reader: &mut Reader, node: &Node<'_>, build: &mut Build) {
    let Some(fields) = reader.fields(node, &["timeout_minutes"]) else { return };
    let Some(minutes) = integer(reader, &fields, "timeout_minutes", 960) else { return };
    build.timeout_minutes = minutes;
    if (1..6).contains(&minutes)
        && let Some(node) = fields.get("timeout_minutes")
    {
        reader.error(
            "number-range",
            &node,
            format!("{minutes} minutes are too few"),
            "0 (which is 240), or 6 to 960",
        );
    }
}

fn sha256(reader: &mut Reader, fields: &Fields<'_>) -> Option<String> {
    let node = fields.get("sha256")?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    shaped(reader, &node, "64 lowercase hexadecimal digits, as `sha256sum` prints them", |text| {
        (text.len() == 64 && text.bytes().all(hex)).then(|| text.to_owned())
    })
}

/// An address that is fetched: without a scheme it is a path beside the recipe.
fn source_uri(text: &str) -> Option<String> {
    let fetched = Endpoint::of_uri(text).is_some();
    let local = !text.contains("://") || text.starts_with("file:");
    (!text.is_empty() && (fetched || local) && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}

fn read_file(reader: &mut Reader, node: &Node<'_>) -> Option<File> {
    let fields = reader.fields(node, &["name", "source_uri", "sha256", "destination"])?;
    let name = required(reader, &fields, "name", "a name", not_empty);
    let uri = required(reader, &fields, "source_uri", FILE_RULE, source_uri);
    let sha256 = sha256(reader, &fields);
    let below_tmp = |text: &str| {
        let right =
            text.starts_with("/tmp/") && !text.ends_with('/') && text.split('/').all(|part| part != "..");
        right.then(|| text.to_owned())
    };
    let rule = "a path below `/tmp/` that names a file; a step moves it to where it belongs";
    let destination = required(reader, &fields, "destination", rule, below_tmp);
    Some(File { name: name?, source_uri: uri?, sha256, destination: destination? })
}

fn required<T>(
    reader: &mut Reader,
    fields: &Fields<'_>,
    name: &'static str,
    expected: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let node = reader.required(fields, name)?;
    shaped(reader, &node, expected, read)
}

fn read_step(reader: &mut Reader, node: &Node<'_>) -> Option<Step> {
    const EITHER: &str = "either `inline` or `script_uri`";
    let fields = reader.fields(node, &["name", "inline", "script_uri", "sha256"])?;
    let name = required(reader, &fields, "name", "a name", not_empty);
    let sha256_node = fields.get("sha256");
    let sha256 = sha256(reader, &fields);
    let script = match (fields.get("inline"), fields.get("script_uri")) {
        (Some(inline), None) => {
            if let Some(node) = sha256_node {
                reader.error(
                    "checksum-without-uri",
                    &node,
                    "a checksum belongs to a `script_uri`",
                    "no `sha256` here",
                );
            }
            Script::Inline(inline_lines(reader, &inline)?)
        }
        (None, Some(uri)) => {
            let uri = shaped(reader, &uri, FILE_RULE, source_uri)?;
            Script::Uri { uri: uri.into(), sha256: sha256.map(Into::into) }
        }
        (Some(inline), Some(_)) => {
            reader.error("script-and-inline", &inline, "`inline` and `script_uri` are both given", EITHER);
            return None;
        }
        (None, None) => {
            reader.error("no-script", node, "this step has no script", EITHER);
            return None;
        }
    };
    Some(Step { name: name?, script })
}

/// The lines of a script, looked at for what will cost a build.
fn inline_lines(reader: &mut Reader, node: &Node<'_>) -> Option<Vec<String>> {
    let items = reader.array(node)?;
    let lines = reader.strings(node)?;
    if lines.is_empty() {
        reader.error("empty-inline", node, "there is no line to run", "at least one line");
        return None;
    }
    let script = lines.join("\n");
    for finding in image_template::lint_script(&script) {
        let before = script.get(..finding.offset).unwrap_or_default();
        let mut end = 0;
        let index = lines.iter().position(|line| {
            end += line.len() + 1;
            before.len() < end
        });
        let at = index.and_then(|index| items.get(index)).unwrap_or(node);
        let warning = Diagnostic::warning(finding.code, at.span(), finding.message);
        reader.report(warning.at(&at.path).hinting(finding.hint));
    }
    Some(lines)
}

fn read_smoke_test(reader: &mut Reader, node: &Node<'_>) -> Option<SmokeTest> {
    let fields = reader.fields(node, &["name", "run", "expect"])?;
    let name = required(reader, &fields, "name", "a name", not_empty);
    let run = required(reader, &fields, "run", "a shell command", not_empty);
    let expect = fields.get("expect").and_then(|node| reader.string(&node).map(str::to_owned));
    Some(SmokeTest { name: name?, run: run?, expect })
}

fn read_local(reader: &mut Reader, node: &Node<'_>, local: &mut Local) {
    let names = ["certificate_authorities", "upstream_proxy", "mirrors"];
    let Some(fields) = reader.fields(node, &names) else { return };
    if let Some(files) = fields.get("certificate_authorities") {
        local.certificate_authorities = list(reader, &files, "the path of a PEM file", not_empty);
    }
    if let Some(proxy) = fields.get("upstream_proxy") {
        local.upstream_proxy = shaped(reader, &proxy, "`http://host:port`", |text| {
            let (_, authority) = text.split_once("://").filter(|(scheme, _)| *scheme == "http")?;
            Endpoint::parse(authority.trim_end_matches('/')).map(|_| text.to_owned())
        });
    }
    let Some(mirrors) = fields.get("mirrors") else { return };
    let Some(object) = mirrors.value.as_object() else {
        reader.string_map(&mirrors);
        return;
    };
    for member in object {
        let node = mirrors.member(member);
        if let Some(endpoint) =
            shaped(reader, &node, "`host:port` of the host that stands in", Endpoint::parse)
        {
            local.mirrors.insert(member.key.to_ascii_lowercase(), endpoint);
        }
    }
}

fn read_azure(reader: &mut Reader, node: &Node<'_>, azure: &mut Azure) {
    const NAMES: [&str; 9] = [
        "subscription",
        "location",
        "resource_group",
        "image_resource_group",
        "gallery",
        "build_subnet",
        "container_subnet",
        "identity",
        "names",
    ];
    let Some(fields) = reader.fields(node, &NAMES) else { return };
    let mut text = |name| {
        fields.get(name).and_then(|node| shaped(reader, &node, "a value that is not empty", not_empty))
    };
    azure.subscription = text("subscription");
    azure.location = text("location");
    azure.resource_group = text("resource_group");
    azure.image_resource_group = text("image_resource_group");
    azure.gallery = text("gallery");
    azure.build_subnet = text("build_subnet");
    azure.container_subnet = text("container_subnet");
    azure.identity = text("identity");
    if let Some(names) = fields.get("names") {
        azure.names = reader.string_map(&names).unwrap_or_default().into_iter().collect();
    }
    check_azure(reader, &fields);
}

/// What Azure Image Builder would refuse in the template.
fn check_azure(reader: &mut Reader, fields: &Fields<'_>) {
    const RULE: &str = "the resource id of a subnet: \
        /subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Network/virtualNetworks/{vnet}/subnets/{subnet}";
    for name in ["build_subnet", "container_subnet"] {
        if let Some(node) = fields.get(name)
            && let Some(text) = node.value.as_str()
            && !arm::ResourceId::parse(text)
                .is_ok_and(|id| id.is_type("Microsoft.Network/virtualNetworks/subnets"))
        {
            reader.error("bad-resource-id", &node, "this is not the resource id of a subnet", RULE);
        }
    }
    if let (None, Some(container)) = (fields.get("build_subnet"), fields.get("container_subnet")) {
        let message = "`container_subnet` works only together with `build_subnet`";
        reader.error("vnet-without-subnet", &container, message, "`build_subnet` beside it");
    }
    if let (Some(_), Some(gallery)) = (fields.get("image_resource_group"), fields.get("gallery")) {
        let message = "`image_resource_group` and `gallery` are both given";
        reader.error("two-targets", &gallery, message, "either `image_resource_group` or `gallery`");
    }
}
