//! Functions of the deployment itself.

use super::{Function, Made, Run, text};
use crate::template::eval::Call;
use crate::template::value::Val;

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "deployer", arity: (0, 0), does: "who deploys", run: Run::Runtime("who deploys") },
    Function { name: "deployment", arity: (0, 0), does: "the deployment; its name is known inside a nested one", run: Run::Call(|call| Ok(call.context.frame.deployment.clone())) },
    Function { name: "environment", arity: (0, 0), does: "names and endpoints of the cloud that the environment's location is in", run: Run::Call(environment) },
    Function { name: "parameters", arity: (1, 1), does: "the value of a parameter", run: Run::Call(parameter) },
    Function { name: "variables", arity: (1, 1), does: "the value of a variable", run: Run::Call(variable) },
];

fn parameter(call: &Call<'_, '_, '_>) -> Made {
    named(call, |name| call.context.frame.parameter(call.evaluator, name))
}

fn variable(call: &Call<'_, '_, '_>) -> Made {
    named(call, |name| call.context.frame.variable(call.evaluator, name))
}

fn named(call: &Call<'_, '_, '_>, value: impl FnOnce(&str) -> Made) -> Made {
    let name = call.argument(0)?;
    match name.as_unknown() {
        Some(unknown) => Ok(Val::because(unknown, None)),
        None => {
            value(text(&name).map_err(|fault| call.wrong(0, fault))?).map_err(|fault| call.wrong(0, fault))
        }
    }
}

/// What differs between clouds ("Deployment functions for ARM templates": environment).
struct Cloud {
    name: &'static str,
    portal: &'static str,
    graph: &'static str,
    resource_manager: &'static str,
    login: &'static str,
    audience: &'static str,
    gallery: &'static str,
    batch: &'static str,
    media: &'static str,
    sql_management: &'static str,
    suffixes: [(&'static str, &'static str); 5],
}

const PUBLIC: Cloud = Cloud {
    name: "AzureCloud",
    portal: "https://portal.azure.com",
    graph: "https://graph.windows.net/",
    resource_manager: "https://management.azure.com/",
    login: "https://login.microsoftonline.com/",
    audience: "https://management.core.windows.net/",
    gallery: "https://gallery.azure.com/",
    batch: "https://batch.core.windows.net/",
    media: "https://rest.media.azure.net",
    sql_management: "https://management.core.windows.net:8443/",
    suffixes: [
        ("acrLoginServer", ".azurecr.io"),
        ("sqlServerHostname", ".database.windows.net"),
        ("keyvaultDns", ".vault.azure.net"),
        ("storage", "core.windows.net"),
        ("azureFrontDoorEndpointSuffix", "azurefd.net"),
    ],
};

const GOVERNMENT: Cloud = Cloud {
    name: "AzureUSGovernment",
    portal: "https://portal.azure.us",
    graph: "https://graph.windows.net/",
    resource_manager: "https://management.usgovcloudapi.net/",
    login: "https://login.microsoftonline.us/",
    audience: "https://management.core.usgovcloudapi.net/",
    gallery: "https://gallery.azure.us/",
    batch: "https://batch.core.usgovcloudapi.net/",
    media: "https://rest.media.usgovcloudapi.net",
    sql_management: "https://management.core.usgovcloudapi.net:8443/",
    suffixes: [
        ("acrLoginServer", ".azurecr.us"),
        ("sqlServerHostname", ".database.usgovcloudapi.net"),
        ("keyvaultDns", ".vault.usgovcloudapi.net"),
        ("storage", "core.usgovcloudapi.net"),
        ("azureFrontDoorEndpointSuffix", "azurefd.us"),
    ],
};

const CHINA: Cloud = Cloud {
    name: "AzureChinaCloud",
    portal: "https://portal.azure.cn",
    graph: "https://graph.chinacloudapi.cn/",
    resource_manager: "https://management.chinacloudapi.cn/",
    login: "https://login.chinacloudapi.cn/",
    audience: "https://management.core.chinacloudapi.cn/",
    gallery: "https://gallery.azure.cn/",
    batch: "https://batch.chinacloudapi.cn/",
    media: "https://rest.media.chinacloudapi.cn",
    sql_management: "https://management.core.chinacloudapi.cn:8443/",
    suffixes: [
        ("acrLoginServer", ".azurecr.cn"),
        ("sqlServerHostname", ".database.chinacloudapi.cn"),
        ("keyvaultDns", ".vault.azure.cn"),
        ("storage", "core.chinacloudapi.cn"),
        ("azureFrontDoorEndpointSuffix", "azurefd.cn"),
    ],
};

fn environment(call: &Call<'_, '_, '_>) -> Made {
    let Some(location) = &call.context.frame.place.location else {
        return Ok(Val::unknown("the cloud: no location is given"));
    };
    let cloud = match location.as_str() {
        location if location.starts_with("usgov") || location.starts_with("usdod") => &GOVERNMENT,
        location if location.starts_with("china") => &CHINA,
        _ => &PUBLIC,
    };
    let authentication = Val::fields([
        ("loginEndpoint", Val::text(cloud.login)),
        ("audiences", Val::array(vec![Val::text(cloud.audience), Val::text(cloud.resource_manager)])?),
        ("tenant", Val::text("common")),
        ("identityProvider", Val::text("AAD")),
    ]);
    let suffixes = Val::fields(cloud.suffixes.map(|(name, suffix)| (name, Val::text(suffix))));
    let all = Val::fields([
        ("name", Val::text(cloud.name)),
        ("gallery", Val::text(cloud.gallery)),
        ("graph", Val::text(cloud.graph)),
        ("portal", Val::text(cloud.portal)),
        ("graphAudience", Val::text(cloud.graph)),
        ("batch", Val::text(cloud.batch)),
        ("media", Val::text(cloud.media)),
        ("sqlManagement", Val::text(cloud.sql_management)),
        ("resourceManager", Val::text(cloud.resource_manager)),
        ("authentication", authentication),
        ("suffixes", suffixes),
    ]);
    Ok(all.within(Some(&"`environment()`, which only Azure knows".into())))
}
