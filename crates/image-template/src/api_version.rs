//! The versions of the image template API, in the order in which they appeared.

use std::fmt;

/// An API version of `Microsoft.VirtualMachineImages/imageTemplates`. A later version is greater.
///
/// Source: the resource provider's published specifications and release notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ApiVersion {
    /// `2018-02-01-preview`: other type names; read as far as it goes.
    V2018_02_01Preview,
    /// `2019-02-01-preview`: read as far as it goes.
    V2019_02_01Preview,
    /// `2019-05-01-preview`: `scriptUri` and `artifactTags` got their names.
    V2019_05_01Preview,
    /// `2020-02-14`: the first stable version; identity is mandatory.
    V2020_02_14,
    /// `2021-10-01`: `userAssignedIdentities` of the build VM, `proxyVmSize`.
    V2021_10_01,
    /// `2022-02-14`: `validate`, `stagingResourceGroup`.
    V2022_02_14,
    /// `2022-07-01`: `optimize`, `versioning`, `targetRegions`, the File validator, the VHD `uri`.
    V2022_07_01,
    /// `2023-07-01`: `errorHandling`.
    V2023_07_01,
    /// `2024-02-01`: `autoRun`, `managedResourceTags`, `containerInstanceSubnetId`; unknown and wrongly
    /// cased fields are refused from here on.
    V2024_02_01,
    /// `2025-10-01`: `additionalDataDisks`, `optimize.workload`, `replicationMode`.
    #[default]
    V2025_10_01,
}

impl ApiVersion {
    /// Every version this crate knows, oldest first.
    pub const ALL: [Self; 10] = [
        Self::V2018_02_01Preview,
        Self::V2019_02_01Preview,
        Self::V2019_05_01Preview,
        Self::V2020_02_14,
        Self::V2021_10_01,
        Self::V2022_02_14,
        Self::V2022_07_01,
        Self::V2023_07_01,
        Self::V2024_02_01,
        Self::V2025_10_01,
    ];

    /// The newest version; what a template without `apiVersion` is read as.
    pub const NEWEST: Self = Self::V2025_10_01;

    /// The version as Azure spells it, such as `2024-02-01`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2018_02_01Preview => "2018-02-01-preview",
            Self::V2019_02_01Preview => "2019-02-01-preview",
            Self::V2019_05_01Preview => "2019-05-01-preview",
            Self::V2020_02_14 => "2020-02-14",
            Self::V2021_10_01 => "2021-10-01",
            Self::V2022_02_14 => "2022-02-14",
            Self::V2022_07_01 => "2022-07-01",
            Self::V2023_07_01 => "2023-07-01",
            Self::V2024_02_01 => "2024-02-01",
            Self::V2025_10_01 => "2025-10-01",
        }
    }

    /// Reads Azure's spelling; `None` for a version that does not exist.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Whether this is one of the previews before the first stable version.
    pub fn is_preview(self) -> bool {
        self < Self::V2020_02_14
    }

    /// Whether the service refuses unknown and wrongly cased fields in this version.
    pub fn is_strict(self) -> bool {
        self >= Self::V2024_02_01
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
