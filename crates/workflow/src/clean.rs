//! Removing what was made, in the one order that works, and nothing else.

use serde::Serialize;

use crate::Workflow;
use crate::deployment::TAG;
use crate::error::{Error, While};
use crate::event::Event;
use crate::state::{Kind, Made};
use azure::resources::{Resource, version};

/// What is to go. Role assignments, which are needed while images are built alone, always go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
pub struct Sweep {
    /// Image templates, with their staging resource groups.
    pub templates: bool,
    /// Image templates that a later one took the place of.
    pub superseded: bool,
    /// The identity.
    pub identity: bool,
    /// Role definitions.
    pub roles: bool,
    /// Everything: images, galleries and resource groups, too.
    pub all: bool,
}

/// What is gone, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    /// Resource ids of what was removed, in order.
    pub removed: Vec<String>,
    /// What was made and is still there, in the order in which it would go.
    pub left: Vec<Left>,
}

/// Something that is still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Its resource id.
    pub id: String,
    /// Why it stays.
    pub why: String,
}

/// The order in which things can go: an identity is needed while its templates go, a role while it is assigned, a group last.
const ORDER: [Kind; 11] = [
    Kind::Trial,
    Kind::Trigger,
    Kind::Template,
    Kind::Deployment,
    Kind::Assignment,
    Kind::Role,
    Kind::Image,
    Kind::Definition,
    Kind::Gallery,
    Kind::Identity,
    Kind::Group,
];

fn version_of(own: &Made) -> &'static str {
    match own.kind {
        Kind::Image if own.id.contains("/galleries/") => version::GALLERIES,
        Kind::Group => version::RESOURCES,
        Kind::Gallery | Kind::Definition => version::GALLERIES,
        Kind::Identity => version::IDENTITIES,
        Kind::Role | Kind::Assignment => version::AUTHORIZATION,
        Kind::Template | Kind::Trigger => version::TEMPLATES,
        Kind::Trial => crate::trial::version_of(&own.id),
        Kind::Image => version::COMPUTE,
        Kind::Deployment => version::DEPLOYMENTS,
    }
}

/// Kinds whose resources say who made them.
const TAGGED: [Kind; 4] = [Kind::Group, Kind::Gallery, Kind::Identity, Kind::Template];

impl Sweep {
    fn takes(self, own: &Made, current: Option<&str>) -> bool {
        // A trigger goes with its template.
        let is_current = current
            .is_some_and(|current| own.id.to_ascii_lowercase().starts_with(&current.to_ascii_lowercase()));
        match own.kind {
            Kind::Assignment | Kind::Trial => true,
            Kind::Template | Kind::Trigger => self.all || self.templates || (self.superseded && !is_current),
            Kind::Deployment => self.all || self.templates,
            Kind::Role => self.all || self.roles,
            Kind::Identity => self.all || self.identity,
            Kind::Image | Kind::Definition | Kind::Gallery | Kind::Group => self.all,
        }
    }
}

impl Workflow<'_> {
    /// What a sweep would remove now, in its order.
    pub fn would_clean(&self, sweep: Sweep) -> Vec<String> {
        let record = &self.state.record;
        let mut own: Vec<_> =
            record.made.iter().rev().filter(|own| sweep.takes(own, record.template.as_deref())).collect();
        own.sort_by_key(|own| ORDER.iter().position(|kind| *kind == own.kind));
        own.into_iter().map(|own| own.id.clone()).collect()
    }

    /// Removes what a sweep takes of what was made here. What cannot go stays, with the reason, and the rest goes on.
    ///
    /// # Errors
    /// When a run goes on, Azure cannot be asked, or the work was stopped.
    pub fn clean(&mut self, sweep: Sweep) -> Result<Cleaned, Error> {
        self.resume()?;
        self.require_no_run(sweep)?;
        let mut cleaned = Cleaned::default();
        let mut refused = Vec::new();
        for id in self.would_clean(sweep) {
            let Some(own) = self.state.made(&id).cloned() else { continue };
            match self.remove(&own) {
                Ok(()) => cleaned.removed.push(id),
                Err(error @ (Error::Refused { .. } | Error::Operation { .. })) => {
                    refused.push(Left { id, why: error.to_string() });
                }
                Err(Error::Azure { error, .. }) if error.status().is_some_and(|status| status < 500) => {
                    refused.push(Left { id, why: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        let rest = self.state.record.made.iter().rev().map(|own| own.id.clone());
        let kept = rest.filter(|id| !refused.iter().any(|left| left.id == *id));
        let kept: Vec<_> = kept.map(|id| Left { id, why: "not asked for".to_owned() }).collect();
        cleaned.left = refused.into_iter().chain(kept).collect();
        Ok(cleaned)
    }

    /// Roles may not go while a run needs them, nor a template while it runs.
    fn require_no_run(&self, sweep: Sweep) -> Result<(), Error> {
        let templates = self.state.of_kind(Kind::Template);
        for id in templates.iter().chain(&self.state.record.template) {
            let last = self.look(id)?.and_then(|template| template.properties.last_run_status);
            if last.is_some_and(|last| last.goes_on())
                && (sweep != Sweep { superseded: true, ..Sweep::default() })
            {
                return Err(Error::Refused {
                    what: format!("a run of {id} goes on, and needs what would be removed"),
                    hint: "wait for its end, or stop it with `cancel`".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn remove(&mut self, own: &Made) -> Result<(), Error> {
        let version = version_of(own);
        if TAGGED.contains(&own.kind) {
            let there: Option<Resource> =
                self.client.get(&own.id, version).to(|| format!("look at {}", own.id))?;
            if let Some(there) = there {
                require_ours(own, &there)?;
            }
        }
        if own.kind == Kind::Group {
            self.require_empty(&own.id)?;
        }
        self.watch.tell(&Event::Waiting { text: format!("removing {}", own.id), seconds: 0 });
        match self.delete(&own.id, version) {
            Err(error) if own.kind == Kind::Template && error.mentions("NicInUseWithPrivateEndpoint") => {
                self.take_private_link_apart(&own.id)?;
                self.delete(&own.id, version)
            }
            ended => ended,
        }
    }

    fn require_empty(&self, group: &str) -> Result<(), Error> {
        let inside: Vec<Resource> = self
            .client
            .list(&format!("{group}/resources"), version::RESOURCES)
            .to(|| format!("look into {group}"))?;
        if inside.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = inside.into_iter().map(|own| own.id).collect();
        let what = format!("{group} holds what was not made here: {}", ids.join(", "));
        Err(Error::Refused { what, hint: "move or remove that first".to_owned() })
    }

    /// The parts of a private link in the order in which they let go of each other (azure-image-builder.md 7: L04).
    fn take_private_link_apart(&mut self, template: &str) -> Result<(), Error> {
        const PARTS: [&str; 4] = [
            "Microsoft.Network/privateEndpoints",
            "Microsoft.Network/privateLinkServices",
            "Microsoft.Network/networkInterfaces",
            "Microsoft.Network/loadBalancers",
        ];
        let Some(group) = self.there(template)?.properties.exact_staging_resource_group else {
            return Ok(());
        };
        let inside: Vec<Resource> = self
            .client
            .list(&format!("{group}/resources"), version::RESOURCES)
            .to(|| format!("look into {group}"))?;
        for part in PARTS {
            for own in inside.iter().filter(|own| own.kind.eq_ignore_ascii_case(part)) {
                self.delete(&own.id, version::NETWORK)?;
            }
        }
        Ok(())
    }
}

/// What was written down but not confirmed, and carries no tag of ours, somebody else made meanwhile.
fn require_ours(own: &Made, there: &Resource) -> Result<(), Error> {
    let tag = there.tags.as_ref().and_then(|tags| tags.get(TAG.0));
    if own.adopted || tag.is_some_and(|tag| tag == TAG.1) {
        return Ok(());
    }
    let what = format!("{} has no tag {} = {}: somebody else made or took it", own.id, TAG.0, TAG.1);
    Err(Error::Refused { what, hint: "remove it by hand if it may go".to_owned() })
}
