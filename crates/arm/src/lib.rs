//! Azure Resource Manager: resource ids.
