//! Where things go: resource groups, the gallery, and the identity.

use serde::de::IgnoredAny;

use crate::Workflow;
use crate::deployment::TAG;
use crate::design::{Design, Gallery};
use crate::error::{Error, While};
use crate::state::Kind;
use azure::resources::{
    DefinitionProperties, GalleryFeature, Identifier, Identity, Located, Resource, Tags, version,
};

/// Nothing but a place and tags.
pub(super) fn located(location: &str) -> Located<()> {
    Located { location: location.to_owned(), tags: tags(), properties: None }
}

fn tags() -> Tags {
    Tags::from([(TAG.0.to_owned(), TAG.1.to_owned())])
}

impl Workflow<'_> {
    pub(crate) fn is_there(&self, id: &str, version: &str) -> Result<bool, Error> {
        let found: Option<Resource> = self.client.get(id, version).to(|| format!("look at {id}"))?;
        Ok(found.is_some())
    }

    /// Makes a resource unless it is there. One that an earlier process asked for and that is there was made by it.
    fn ensure<P: serde::Serialize>(
        &mut self,
        kind: Kind,
        (id, version): (&str, &str),
        body: &Located<P>,
    ) -> Result<Option<String>, Error> {
        if self.is_there(id, version)? {
            if self.state.made(id).is_some_and(|own| !own.confirmed) {
                self.state.confirm(id)?;
            }
            return Ok(None);
        }
        self.make::<_, IgnoredAny>(kind, (id, version), body)?;
        Ok(Some(format!("made {id}")))
    }

    pub(super) fn groups(&mut self, design: &Design) -> Result<Vec<String>, Error> {
        let mut done = Vec::new();
        for name in std::iter::once(&design.group).chain(&design.other_groups) {
            let id = format!("{}/resourceGroups/{name}", design.subscription);
            done.extend(self.ensure(Kind::Group, (&id, version::RESOURCES), &located(&design.location))?);
        }
        Ok(done)
    }

    pub(super) fn gallery(&mut self, design: &Design) -> Result<Vec<String>, Error> {
        let Some(gallery) = &design.gallery else { return Ok(Vec::new()) };
        let own = (gallery.id.as_str(), version::GALLERIES);
        let mut done: Vec<_> =
            self.ensure(Kind::Gallery, own, &located(&design.location))?.into_iter().collect();
        let definition = (gallery.definition.as_str(), version::GALLERIES);
        done.extend(self.ensure(Kind::Definition, definition, &definition_of(gallery, &design.location))?);
        Ok(done)
    }

    pub(super) fn identity(&mut self, design: &Design) -> Result<Vec<String>, Error> {
        let id = &design.identity;
        if !design.makes_identity() {
            let hint = "make it, or name one in the resource group of the template, which is made";
            return match self.principal(design)? {
                Some(_) => Ok(Vec::new()),
                None => Err(Error::Refused {
                    what: format!("the identity {id} does not exist"),
                    hint: hint.to_owned(),
                }),
            };
        }
        let made = self.ensure(Kind::Identity, (id, version::IDENTITIES), &located(&design.location))?;
        Ok(made.into_iter().collect())
    }

    /// Object id of the template's identity.
    pub(super) fn principal(&self, design: &Design) -> Result<Option<String>, Error> {
        let id = &design.identity;
        let found: Option<Identity> =
            self.client.get(id, version::IDENTITIES).to(|| format!("look at {id}"))?;
        Ok(found.map(|own| own.properties.principal_id).filter(|id| !id.is_empty()))
    }
}

/// A definition that machines with Trusted Launch can be made of, as the source's must be, too (azure-image-builder.md 6).
fn definition_of(gallery: &Gallery, location: &str) -> Located<DefinitionProperties> {
    let [publisher, offer, sku] = gallery.identifier.clone();
    let properties = DefinitionProperties {
        os_type: "Linux",
        os_state: "Generalized",
        hyper_v_generation: "V2",
        architecture: "x64",
        identifier: Identifier { publisher, offer, sku },
        features: vec![GalleryFeature { name: "SecurityType", value: "TrustedLaunchSupported" }],
    };
    Located { location: location.to_owned(), tags: tags(), properties: Some(properties) }
}
