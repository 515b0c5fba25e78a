//! The recipe as a file, and as a template.

use document::SourceText;
use image_template::{Customizer, ImageTemplate, Script, Source, Text, Validator};

use crate::{Base, Recipe, init_text, parse};

fn complaints(text: &str) -> Vec<String> {
    let source = SourceText::new("jumpbox.toml", text);
    parse(&source)
        .diagnostics
        .iter()
        .map(|found| {
            let at = source.position(found.span.start);
            format!("{}:{} {} {}", at.line, at.column, found.code, found.path)
        })
        .collect()
}

fn read(text: &str) -> Recipe {
    let parsed = parse(&SourceText::new("jumpbox.toml", text));
    parsed.recipe.unwrap_or_else(|| panic!("{:#?}", parsed.diagnostics))
}

/// The template after it was written and read again, and the codes of what was said about it.
fn written_and_read(template: &ImageTemplate) -> (ImageTemplate, Vec<&'static str>) {
    let parsed = image_template::parse(&SourceText::new("template.json", template.to_json()));
    let codes = parsed.diagnostics.iter().map(|found| found.code).collect();
    (parsed.template.unwrap_or_else(|| panic!("{:#?}", parsed.diagnostics)), codes)
}

#[test]
fn the_initial_file_is_the_built_in_recipe() {
    assert_eq!(read(init_text()), Recipe::default());
    assert_eq!(read(""), Recipe::default());
}

#[test]
fn every_example_in_the_initial_file_is_right_once_it_is_made_real() {
    // The comments of whole lines that hold TOML become TOML.
    let is_toml = |line: &str| {
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
    };
    let text: String = init_text()
        .lines()
        .filter_map(|line| match line.strip_prefix("# ") {
            Some(example) if is_toml(example) => Some(example.to_owned() + "\n"),
            Some(_) => None,
            None => Some(line.to_owned() + "\n"),
        })
        .collect::<String>()
        .replace("sha256 = \"...\"", &format!("sha256 = \"{}\"", "0".repeat(64)))
        .replace("/subscriptions/.../", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/");
    let recipe = read(&text);
    assert_eq!((recipe.files.len(), recipe.steps.len(), recipe.extra_smoke_tests.len()), (1, 2, 1));
    assert_eq!(recipe.azure.location.as_deref(), Some("eastus2"));
    assert_eq!(recipe.local.mirrors.len(), 1);
    let lacks: Vec<_> = recipe.lacks().iter().map(|lack| lack.tool).collect();
    assert_eq!(lacks, ["kubelogin"], "the step `Install helm` brings helm");
    let endpoints: Vec<_> = recipe.endpoints().iter().map(ToString::to_string).collect();
    assert_eq!(endpoints, ["example.com:443"]);
    let (template, codes) = written_and_read(&recipe.template());
    assert_eq!(template, recipe.template());
    assert_eq!(codes, ["local-uri"], "the message of the day lies beside the recipe");
}

#[test]
fn the_template_says_the_same_after_writing_and_reading() {
    let template = Recipe::default().template();
    let (read, codes) = written_and_read(&template);
    assert_eq!(read.customize, template.customize);
    assert_eq!(read, template);
    assert_eq!(codes, ["not-known", "not-known"], "the location and the identity, and no lint");
}

#[test]
fn the_default_template_installs_tools_and_sets_up_ssh() {
    let template = Recipe::default().template();
    let steps: Vec<_> = template.customize.iter().filter_map(Customizer::name).collect();
    assert_eq!(steps, ["Install tools", "Configure the SSH daemon"]);
    let Source::PlatformImage { publisher, offer, sku, .. } = &template.source else {
        panic!("another source")
    };
    assert_eq!([publisher, offer, sku].map(Text::as_str), ["Debian", "debian-13", "13-gen2"]);
    let Customizer::Shell(ssh) = &template.customize[1] else { panic!("another step") };
    insta::assert_debug_snapshot!(ssh.script, @r#"
    Inline(
        [
            "sudo tee /etc/ssh/sshd_config.d/10-aks-jumpbox.conf > /dev/null <<'END'",
            "X11Forwarding no",
            "MaxAuthTries 6",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin no",
            "END",
            "sudo chmod 0644 /etc/ssh/sshd_config.d/10-aks-jumpbox.conf",
        ],
    )
    "#);
    let checks = template.validate.map(|validate| validate.in_vm_validations).unwrap_or_default();
    assert_eq!(
        checks.iter().filter_map(Validator::name).collect::<Vec<_>>(),
        ["Every tool answers", "The SSH settings are in effect"]
    );
}

#[test]
fn values_of_azure_reach_the_template() {
    let subnets = "/subscriptions/s/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/v/subnets";
    let recipe = read(&format!(
        "[azure]\nsubscription = 's'\nlocation = 'westeurope'\nresource_group = 'g'\nidentity = 'i'\n\
         build_subnet = '{subnets}/a'\ncontainer_subnet = '{subnets}/b'"
    ));
    let (template, codes) = written_and_read(&recipe.template());
    assert_eq!(codes, [""; 0]);
    assert_eq!(template.location, "westeurope");
    let vnet = template.vm_profile.vnet_config.expect("a network");
    assert_eq!(vnet.subnet_id, format!("{subnets}/a").as_str());
    let identity = template.identity.expect("an identity").user_assigned;
    assert_eq!(
        identity,
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
    );
}

#[test]
fn smoke_tests_cover_the_tools_and_the_recipes_own() {
    let recipe = read("[tools]\npackages = ['jq', 'zsh']\n[[smoke_test]]\nname = 'mine'\nrun = 'true'");
    let tests = recipe.smoke_tests();
    let names: Vec<_> = tests.iter().map(|test| test.name.as_str()).collect();
    assert_eq!(names, ["jq answers", "zsh is installed", "mine",]);
    assert_eq!(tests.last().and_then(|test| test.expect.as_deref()), None);
}

#[test]
fn every_mistake_is_found_at_once() {
    let text = "\
[image]
nam = 'x'
base = 'Debian'
size = -1
[tools]
packages = ['jq', 'a b; reboot', '-y']
[[step]]
inline = ['curl x | sh']
script_uri = 'https://example.com/a'
[[step]]
name = 'x'
inline = ['true', 'sudo apt-get install jq']
[build]
timeout_minutes = 5
[netwrok]
[network]
allow = ['example.com']
[local]
upstream_proxy = 'https://proxy.example.com:1'
mirrors = { 'a.example.com' = 'b' }
[azure]
container_subnet = 'snet'
";
    assert_eq!(
        complaints(text),
        [
            "2:1 unknown-field image.nam",
            "3:8 bad-value image.base",
            "4:8 number-range image.size",
            "6:19 bad-value tools.packages[1]",
            "6:34 bad-value tools.packages[2]",
            "7:1 missing-field step[0].name",
            "8:10 script-and-inline step[0].inline",
            "12:19 package-manager-asks step[1].inline[1]",
            "14:19 number-range build.timeout_minutes",
            "15:2 unknown-field netwrok",
            "17:10 bad-value network.allow[0]",
            "19:18 bad-value local.upstream_proxy",
            "20:31 bad-value local.mirrors['a.example.com']",
            "22:20 bad-resource-id azure.container_subnet",
            "22:20 vnet-without-subnet azure.container_subnet"
        ]
    );
}

#[test]
fn a_mistake_shows_the_nearest_spelling() {
    let source = SourceText::new("jumpbox.toml", "[ssh]\nmax_auth_trys = 3\n");
    let found = &parse(&source).diagnostics[0];
    insta::assert_snapshot!(found.render(&source), @r"
    jumpbox.toml:2:1: error: unknown field `max_auth_trys` [unknown-field]
     2 | max_auth_trys = 3
       | ^^^^^^^^^^^^^
       = at: ssh.max_auth_trys
       = expected: one of x11_forwarding, max_auth_tries, password_authentication, permit_root_login
       = hint: did you mean `max_auth_tries`?
    ");
}

#[test]
fn broken_toml_is_an_error_with_a_place() {
    assert_eq!(complaints("[image]\nname = \n[tools"), ["2:8 syntax ", "3:7 syntax "]);
    assert_eq!(complaints("[image]\nname = 'a'\nname = 'b'"), ["3:1 syntax "]);
}

#[test]
fn a_base_may_name_a_version() {
    let recipe = read("[image]\nbase = 'Debian:debian-12:12-gen2:0.20260101.1'");
    assert_eq!(recipe.image.base.version, "0.20260101.1");
    assert_eq!(Base::parse("a:b"), None);
    assert_eq!(Base::parse("a:b:c:d:e"), None);
    assert_eq!(Base::parse("a:b:"), None);
}

#[test]
fn scripts_run_in_the_order_of_the_file() {
    let recipe = read(
        "[tools]\npackages = []\n[[step]]\nname = 'b'\ninline = ['true']\n[[step]]\nname = 'a'\nscript_uri = 'a.sh'",
    );
    let template = recipe.template();
    let names: Vec<_> = template.customize.iter().filter_map(Customizer::name).collect();
    assert_eq!(names, ["Configure the SSH daemon", "b", "a"]);
    assert!(matches!(&recipe.steps[1].script, Script::Uri { sha256: None, .. }));
}
