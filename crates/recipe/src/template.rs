//! The image template that a recipe stands for.

use std::collections::BTreeSet;

use image_template::{
    ApiVersion, AutoRun, Customizer, Distribute, ErrorHandling, FileStep, Identity, ImageTemplate, Optimize,
    Script, ShellStep, Source, Tags, Text, Validate, Validator, VmProfile, VnetConfig,
};

use crate::tools::tools_of;
use crate::{Endpoint, Recipe, Ssh};

/// Where the SSH settings go. The SSH daemon takes the first value that it reads of each setting, so the name
/// sorts before the file that cloud-init writes (`50-cloud-init.conf`).
const SSH_DROP_IN: &str = "/etc/ssh/sshd_config.d/10-aks-jumpbox.conf";

impl Ssh {
    /// The settings as lines of `sshd_config`. Keyboard-interactive authentication asks for passwords too, so
    /// it follows password authentication.
    pub(crate) fn directives(self) -> [String; 5] {
        let yes_no = |on: bool| if on { "yes" } else { "no" };
        [
            format!("X11Forwarding {}", yes_no(self.x11_forwarding)),
            format!("MaxAuthTries {}", self.max_auth_tries),
            format!("PasswordAuthentication {}", yes_no(self.password_authentication)),
            format!("KbdInteractiveAuthentication {}", yes_no(self.password_authentication)),
            format!("PermitRootLogin {}", yes_no(self.permit_root_login)),
        ]
    }
}

fn shell(name: &str, lines: Vec<String>) -> ShellStep {
    ShellStep { name: Some(name.to_owned()), script: Script::Inline(lines) }
}

impl Recipe {
    /// The template: tools, SSH settings, files and steps as customizers, checks as validations, one VHD as the
    /// target. What `[azure]` does not say stands in it as a `<placeholder>`.
    pub fn template(&self) -> ImageTemplate {
        let base = &self.image.base;
        ImageTemplate {
            api_version: ApiVersion::NEWEST,
            name: Some(self.image.name.as_str().into()),
            location: self.azure.location.as_deref().unwrap_or("<location>").into(),
            tags: Tags::new(),
            identity: Some(Identity { user_assigned: self.identity() }),
            source: Source::PlatformImage {
                publisher: base.publisher.as_str().into(),
                offer: base.offer.as_str().into(),
                sku: base.sku.as_str().into(),
                version: base.version.as_str().into(),
                plan_info: None,
            },
            customize: self.customizers(),
            optimize: Optimize::default(),
            validate: Some(Validate { in_vm_validations: self.validators(), ..Validate::default() }),
            distribute: vec![Distribute::Vhd {
                run_output_name: self.image.name.as_str().into(),
                artifact_tags: Tags::new(),
                uri: None,
            }],
            error_handling: ErrorHandling::default(),
            build_timeout_minutes: self.build.timeout_minutes,
            vm_profile: VmProfile {
                os_disk_size_gb: self.image.size,
                vnet_config: self.azure.build_subnet.as_deref().map(|subnet| VnetConfig {
                    subnet_id: subnet.into(),
                    container_instance_subnet_id: self.azure.container_subnet.as_deref().map(Text::from),
                    proxy_vm_size: None,
                }),
                ..VmProfile::default()
            },
            additional_data_disks: Vec::new(),
            staging_resource_group: None,
            auto_run: AutoRun::default(),
            managed_resource_tags: Tags::new(),
        }
    }

    /// The identity's resource id, from an id or a name.
    fn identity(&self) -> Text {
        let identity = self.azure.identity.as_deref().unwrap_or("<identity>");
        if identity.starts_with('/') {
            return identity.into();
        }
        let subscription = self.azure.subscription.as_deref().unwrap_or("<subscription>");
        let group = self.azure.resource_group.as_deref().unwrap_or("<resource-group>");
        format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity\
             /userAssignedIdentities/{identity}"
        )
        .into()
    }

    fn customizers(&self) -> Vec<Customizer> {
        let mut customizers = Vec::new();
        if !self.packages.is_empty() {
            customizers.push(Customizer::Shell(shell("Install tools", self.install_lines())));
        }
        customizers.push(Customizer::Shell(shell("Configure the SSH daemon", self.ssh_lines())));
        customizers.extend(self.files.iter().map(|file| {
            Customizer::File(FileStep {
                name: Some(file.name.clone()),
                source_uri: file.source_uri.as_str().into(),
                sha256: file.sha256.as_deref().map(Text::from),
                destination: file.destination.as_str().into(),
            })
        }));
        customizers.extend(self.steps.iter().map(|step| {
            Customizer::Shell(ShellStep { name: Some(step.name.clone()), script: step.script.clone() })
        }));
        customizers
    }

    fn install_lines(&self) -> Vec<String> {
        vec![
            "sudo apt-get update".to_owned(),
            format!(
                "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {}",
                self.packages.join(" ")
            ),
        ]
    }

    fn ssh_lines(&self) -> Vec<String> {
        let mut lines = vec![format!("sudo tee {SSH_DROP_IN} > /dev/null <<'END'")];
        lines.extend(self.ssh.directives());
        lines.extend(["END".to_owned(), format!("sudo chmod 0644 {SSH_DROP_IN}")]);
        lines
    }

    /// Checks that need no network and no running service.
    fn validators(&self) -> Vec<Validator> {
        let mut validators = Vec::new();
        let mut tools = Vec::new();
        for package in &self.packages {
            tools.push(format!("dpkg-query --show {package}"));
            tools.extend(tools_of(package).map(|tool| format!("{{ {}; }} > /dev/null", tool.run)));
        }
        if !tools.is_empty() {
            validators.push(Validator::Shell(shell("Every tool answers", tools)));
        }
        validators.push(Validator::Shell(shell("The SSH settings are in effect", self.ssh_check_lines())));
        validators
    }

    /// Asks the SSH daemon for its settings. It wants a host key and its run directory, which a generalised image
    /// that has not booted lacks, so it gets its own.
    fn ssh_check_lines(&self) -> Vec<String> {
        let mut lines = vec![
            "keys=$(mktemp -d)".to_owned(),
            "ssh-keygen -q -t ed25519 -N '' -f \"$keys/host\"".to_owned(),
            "sudo mkdir -p /run/sshd".to_owned(),
            "sudo sshd -T -h \"$keys/host\" > \"$keys/settings\"".to_owned(),
        ];
        lines.extend(
            self.ssh
                .directives()
                .map(|setting| format!("grep -x '{}' \"$keys/settings\"", setting.to_ascii_lowercase())),
        );
        lines.push("rm -r \"$keys\"".to_owned());
        lines
    }

    /// What a build of this recipe contacts beyond the base's own archive: the hosts of scripts and files, and
    /// the allow list. In order, each once.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let scripts = self.steps.iter().filter_map(|step| match &step.script {
            Script::Uri { uri, .. } => Endpoint::of_uri(uri.as_str()),
            Script::Inline(_) => None,
        });
        let files = self.files.iter().filter_map(|file| Endpoint::of_uri(&file.source_uri));
        let all: BTreeSet<_> = scripts.chain(files).chain(self.allow.iter().cloned()).collect();
        all.into_iter().collect()
    }
}
