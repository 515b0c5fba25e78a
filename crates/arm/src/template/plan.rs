//! One template as somebody deploys it: what is to be made, in which order, and what it tells in the end.

use document::{Diagnostic, SourceText, Sources, Value};

use super::Template;
use super::deploy::Deployer;
use super::eval::Evaluator;
use super::world::World;
use crate::ResourceId;
use crate::read::Scope;

/// A template and where it is deployed.
#[derive(Debug)]
pub struct Deployment<'a> {
    /// Its name, which `deployment()` tells.
    pub name: &'a str,
    /// The subscription's id, a GUID.
    pub subscription: &'a str,
    /// The resource group; none for a deployment of a subscription.
    pub resource_group: Option<&'a str>,
    /// The region that `resourceGroup()` or `deployment()` tells.
    pub location: Option<&'a str>,
    /// The text that holds the template.
    pub text: SourceText,
    /// The template in that text.
    pub template: Value,
    /// `{"name": {"value": ...}}`, where parameters are given.
    pub parameters: Option<Value>,
}

/// A resource that is to be made.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Its id.
    pub id: ResourceId,
    /// Its members as the template writes them; what is not known yet says why.
    pub value: Value,
    /// Why it is not known whether it is to be made.
    pub doubt: Option<String>,
    /// What it waits for.
    pub after: Vec<ResourceId>,
    /// The deployments that it is inside of, outermost first.
    pub within: Vec<ResourceId>,
}

/// What a deployment comes to, as far as it is known.
#[derive(Debug, Default)]
pub struct Plan {
    /// Resources in the order of the template.
    pub resources: Vec<Planned>,
    /// Deployments inside it; the value holds `properties.outputs`.
    pub deployments: Vec<Planned>,
    /// Its own outputs, `{"name": {"type": ..., "value": ...}}`.
    pub outputs: Option<Value>,
    /// What is wrong with it, each with a place.
    pub found: Vec<Diagnostic>,
    /// The texts that places are in.
    pub sources: Sources,
}

impl Deployment<'_> {
    /// What is to be made, given what is there: resources as the interface shows them.
    pub fn plan(self, existing: impl IntoIterator<Item = (ResourceId, Value)>) -> Plan {
        let mut sources = Sources::default();
        // The template was read from this very text, so its places are those of the only text.
        sources.add_json(self.text);
        let mut world = World::default();
        for (id, value) in existing {
            world.add(&id, value);
        }
        let scope = Scope {
            subscription: Some(self.subscription.to_owned()),
            resource_group: self.resource_group.map(str::to_owned),
            location: self.location.map(str::to_owned),
        };
        let template = Template {
            value: self.template,
            is_deployable: true,
            name: Some(self.name.to_owned()),
            scope,
            parameter_file: self.parameters,
            parameters: Vec::new(),
        };
        let evaluator = Evaluator::new(&sources, world);
        let templates = [template];
        let deployed = Deployer::new(&evaluator, &templates).deploy();
        drop(evaluator);
        Plan {
            resources: deployed.described.into_iter().map(super::deploy::Described::planned).collect(),
            deployments: deployed.deployments.into_iter().map(super::deploy::Described::planned).collect(),
            outputs: deployed.outputs.into_iter().next().map(super::value::Val::into_value),
            found: deployed.found,
            sources,
        }
    }
}
