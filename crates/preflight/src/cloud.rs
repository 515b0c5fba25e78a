//! The clouds of Azure, and what their services are called.

use image_template::region_slug;

/// A cloud of Azure: each has regions, names and features of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cloud {
    /// The one for everybody.
    #[default]
    Public,
    /// Azure Government, for agencies of the United States.
    UsGovernment,
    /// Azure in China, operated by 21Vianet.
    China,
}

/// Parts of names in the public cloud, in Azure Government and in China. Source: the clouds that the Azure CLI knows
/// (github.com/Azure/azure-cli, azure/cli/core/cloud.py).
const NAMES: [[&str; 3]; 3] = [
    ["core.windows.net", "core.usgovcloudapi.net", "core.chinacloudapi.cn"],
    ["management.azure.com", "management.usgovcloudapi.net", "management.chinacloudapi.cn"],
    ["login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn"],
];

impl Cloud {
    /// The cloud that a region is in, by its name: `usgov*` and `usdod*`, `china*`, or any other.
    pub fn of_region(region: &str) -> Self {
        let slug = region_slug(region);
        if slug.starts_with("usgov") || slug.starts_with("usdod") {
            Self::UsGovernment
        } else if slug.starts_with("china") {
            Self::China
        } else {
            Self::Public
        }
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Public => "Azure's public cloud",
            Self::UsGovernment => "Azure Government",
            Self::China => "Azure in China",
        }
    }

    /// The command that has `az` talk to it; none where it does anyway.
    pub(crate) fn az(self) -> &'static str {
        match self {
            Self::Public => "",
            Self::UsGovernment => "az cloud set --name AzureUSGovernment\n",
            Self::China => "az cloud set --name AzureChinaCloud\n",
        }
    }

    /// What an endpoint of the public cloud is called here. Names of no cloud stay as they are.
    pub(crate) fn endpoint(self, public: &str) -> String {
        let column = match self {
            Self::Public => return public.to_owned(),
            Self::UsGovernment => 1,
            Self::China => 2,
        };
        let own = NAMES.iter().find(|names| public.contains(names[0]));
        own.map_or_else(|| public.to_owned(), |names| public.replace(names[0], names[column]))
    }
}

#[cfg(test)]
mod tests {
    use super::Cloud;

    #[test]
    fn a_region_tells_its_cloud_and_a_cloud_its_names() {
        for (region, blob, login) in [
            ("East US 2", "*.blob.core.windows.net:443", "login.microsoftonline.com:443"),
            ("US Gov Virginia", "*.blob.core.usgovcloudapi.net:443", "login.microsoftonline.us:443"),
            ("chinanorth3", "*.blob.core.chinacloudapi.cn:443", "login.chinacloudapi.cn:443"),
        ] {
            let cloud = Cloud::of_region(region);
            let told = ["*.blob.core.windows.net:443", "login.microsoftonline.com:443"]
                .map(|name| cloud.endpoint(name));
            assert_eq!(told, [blob, login], "{region}");
            assert_eq!(cloud.endpoint("mcr.microsoft.com:443"), "mcr.microsoft.com:443");
        }
    }
}
