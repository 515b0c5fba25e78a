//! Resource providers, and the features of clouds where the service is a preview.

use std::time::Duration;

use azure::resources::{
    Feature, Provider,
    version::{FEATURES, RESOURCES as PROVIDERS},
};

use crate::Workflow;
use crate::design::Design;
use crate::error::{Error, While};

const NAMESPACE: &str = "Microsoft.VirtualMachineImages";
const PAUSE: Duration = Duration::from_secs(10);
/// How often a registration is looked at: for a quarter of an hour.
const LOOKS: u32 = 90;

/// The feature that a region needs.
pub(super) fn feature_of(region: &str) -> Option<&'static str> {
    preflight::preview_feature(region).map(|(feature, _)| feature)
}

pub(super) fn feature_id(subscription: &str, feature: &str) -> String {
    format!("{subscription}/providers/Microsoft.Features/providers/{NAMESPACE}/features/{feature}")
}

impl Workflow<'_> {
    pub(super) fn providers(&mut self, design: &Design) -> Result<Vec<String>, Error> {
        let mut done = Vec::new();
        if let Some(feature) = feature_of(&design.location) {
            done.extend(self.feature(design, feature)?);
        }
        let mut asked = Vec::new();
        for namespace in preflight::PROVIDERS {
            // After its feature is registered, the service's provider has to hear of it.
            let again = namespace == NAMESPACE && !done.is_empty();
            if again || !self.is_registered(design, namespace)? {
                self.act(&format!("{}/providers/{namespace}/register", design.subscription), PROVIDERS)?;
                asked.push(namespace);
            }
        }
        for namespace in asked {
            let what = format!("the registration of {namespace}");
            self.until(&what, |workflow| workflow.is_registered(design, namespace))?;
            done.push(format!("registered {namespace}"));
        }
        Ok(done)
    }

    pub(super) fn is_registered(&self, design: &Design, namespace: &str) -> Result<bool, Error> {
        let id = format!("{}/providers/{namespace}", design.subscription);
        let provider: Option<Provider> =
            self.client.get(&id, PROVIDERS).to(|| format!("look at the provider {namespace}"))?;
        Ok(provider.is_some_and(|provider| provider.registration_state.eq_ignore_ascii_case("Registered")))
    }

    pub(super) fn has_feature(&self, design: &Design, feature: &str) -> Result<bool, Error> {
        let id = feature_id(&design.subscription, feature);
        let own: Option<Feature> =
            self.client.get(&id, FEATURES).to(|| format!("look at the feature {feature}"))?;
        Ok(own.is_some_and(|own| own.properties.state.eq_ignore_ascii_case("Registered")))
    }

    fn feature(&mut self, design: &Design, feature: &str) -> Result<Option<String>, Error> {
        if self.has_feature(design, feature)? {
            return Ok(None);
        }
        self.act(&format!("{}/register", feature_id(&design.subscription, feature)), FEATURES)?;
        self.until(&format!("the feature {feature}"), |workflow| workflow.has_feature(design, feature))?;
        Ok(Some(format!("registered the feature {feature}")))
    }

    /// An action that ends at once and may be asked for again.
    fn act(&mut self, id: &str, version: &str) -> Result<(), Error> {
        self.check_stopped()?;
        self.audit.asked("action", id)?;
        let asked = self.client.post::<(), serde::de::IgnoredAny>(id, version, None);
        self.audit.ended("action", id, asked.as_ref().err())?;
        asked.to(|| format!("ask for {id}")).map(|_| ())
    }

    fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> Result<bool, Error>) -> Result<(), Error> {
        for _ in 0..LOOKS {
            self.check_stopped()?;
            if is_so(self)? {
                return Ok(());
            }
            self.waiting(what.to_owned(), PAUSE);
            self.watch.wait(PAUSE);
        }
        let minutes = PAUSE.as_secs() * u64::from(LOOKS) / 60;
        Err(Error::OutOfTime { what: what.to_owned(), minutes })
    }
}
