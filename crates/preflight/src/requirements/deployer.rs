//! What whoever deploys an image template must be allowed to do.

use access::Action;

use super::grant::{ASSIGN, IDENTITY_OPERATOR, Permissions, Who, at_each, identity, told};
use super::{BASE, BROUGHT, PERMISSIONS};
use crate::finding::Asked;
use crate::subject::Network;
use crate::{Check, Outcome, Place, Requirement, Severity, Subject};

const DEPLOY: Permissions = Permissions {
    name: "templates",
    actions: &[
        Action::Control("Microsoft.VirtualMachineImages/imageTemplates/write"),
        Action::Control("Microsoft.VirtualMachineImages/imageTemplates/read"),
        Action::Control("Microsoft.VirtualMachineImages/imageTemplates/delete"),
        Action::Control("Microsoft.VirtualMachineImages/imageTemplates/run/action"),
        Action::Control("Microsoft.VirtualMachineImages/imageTemplates/runOutputs/read"),
    ],
    role: None,
};
const GIVE_IDENTITY: Permissions =
    Permissions { name: "identity assignment", actions: &[ASSIGN], role: Some(IDENTITY_OPERATOR) };
const ASSIGN_ROLES: Permissions = Permissions {
    name: "role assignment",
    actions: &[Action::Control("Microsoft.Authorization/roleAssignments/write")],
    role: Some("f58310d9-a9f6-439a-9e8d-f62e7b41a168"),
};

const PLAIN: Requirement = Requirement { source: PERMISSIONS, ..BASE };

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "access.deployer.template",
        title: "the deployer may create, run and delete the image template",
        check: Check::Ask(deployer),
        ..PLAIN
    },
    Requirement {
        id: "access.deployer.identity",
        title: "the deployer may give the template its identity",
        check: Check::Ask(deployer_identity),
        ..PLAIN
    },
    Requirement {
        id: "access.deployer.roles",
        title: "the deployer may assign roles on the virtual network",
        topologies: BROUGHT,
        severity: Severity::Advised,
        check: Check::Ask(deployer_roles),
        ..PLAIN
    },
];

fn of_deployer(
    subject: &Subject<'_>,
    what: Permissions,
    scope: impl FnOnce(&Network<'_>) -> Result<String, Outcome>,
) -> Asked {
    let deployer = subject.deployer.as_deref();
    let deployer =
        deployer.ok_or_else(|| Outcome::skipped("no deployer was named (`--deployer OBJECT_ID`)"))?;
    let network = told(subject)?;
    at_each(network, &Who::deployer(deployer), what, &[scope(network)?])
}

fn deployer(subject: &Subject<'_>) -> Asked {
    of_deployer(subject, DEPLOY, |network| {
        let templates = network.inventory.of_type(image_template::RESOURCE_TYPE).next();
        let group = templates.and_then(|template| template.id.parent()).map(|group| group.to_string());
        let own = || Some(format!("/subscriptions/{}", network.environment.subscription.as_ref()?.text));
        group.or_else(own).ok_or_else(|| {
            Outcome::undecided("the environment does not say the subscription of the image template")
        })
    })
}

fn deployer_identity(subject: &Subject<'_>) -> Asked {
    of_deployer(subject, GIVE_IDENTITY, |_| Ok(identity(subject)?.id.to_string()))
}

fn deployer_roles(subject: &Subject<'_>) -> Asked {
    of_deployer(subject, ASSIGN_ROLES, |_| {
        let subnet = subject.subnet(Place::Build)?;
        Ok(subnet.id.parent().map_or_else(|| subnet.id.to_string(), |network| network.to_string()))
    })
}
