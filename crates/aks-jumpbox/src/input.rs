//! What a command works on: a template or a recipe, read from disk with everything that is wrong with it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use document::{Diagnostic, SourceText};
use image_template::{Customizer, ImageTemplate, Script, Validator};
use recipe::{Endpoint, Lack, Recipe, SmokeTest};

use crate::context::Context;
use crate::errors::{Category, Failure, Problem};

/// What is to be built.
pub struct Input {
    /// Name of the image: the template file's stem, or the recipe's name.
    pub name: String,
    /// What to build.
    pub template: ImageTemplate,
    /// Folder of the template or of `jumpbox.toml`, where relative source URIs are looked for; the built-in recipe
    /// has none.
    pub folder: Option<PathBuf>,
    /// The configuration in force; the built-in recipe where there is none.
    pub recipe: Recipe,
    /// Folder that the configuration's own paths are relative to.
    pub recipe_folder: PathBuf,
    /// What the booted image must answer beside the posture of every jump box.
    pub smoke_tests: Vec<SmokeTest>,
    /// What a jump box is expected to have and this recipe does not bring; nothing is expected of a template.
    pub lacks: Vec<Lack>,
    /// What the author of the template or recipe would want to know, for people.
    pub warnings: Vec<String>,
}

impl Input {
    /// Reads the template, where one was named, and the configuration in force.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong: then all that is wrong with it.
    pub fn load(template: Option<&Path>, context: &Context) -> Result<Self, Failure> {
        let Loaded { recipe, file: configuration, mut warnings } = load_recipe(context)?;
        let recipe_folder = configuration.as_deref().map(folder_of);
        let (name, template, folder, smoke_tests, lacks) = if let Some(file) = template {
            let source = read(file)?;
            let parsed = image_template::parse(&source);
            warnings.extend(sort_out(Category::Template, &source, &parsed.diagnostics)?);
            let template = parsed.template.ok_or_else(|| nothing_in(&source))?;
            let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            (stem.unwrap_or_else(|| "image".into()), template, Some(folder_of(file)), Vec::new(), Vec::new())
        } else {
            let name = recipe.image.name.clone();
            (name, recipe.template(), recipe_folder.clone(), recipe.smoke_tests(), recipe.lacks())
        };
        let recipe_folder = recipe_folder.unwrap_or_else(|| PathBuf::from("."));
        Ok(Self { name, template, folder, recipe, recipe_folder, smoke_tests, lacks, warnings })
    }

    /// What the build may contact beyond the base's own archive: the hosts of the template's scripts and files,
    /// and the configuration's allow list. A recipe and the template that it stands for need the same.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let customizers = self.template.customize.iter().filter_map(|step| match step {
            Customizer::Shell(step) => uri_of(&step.script),
            Customizer::PowerShell(step) => uri_of(&step.script),
            Customizer::File(step) => step.source_uri.known(),
            _ => None,
        });
        let validations = self.template.validate.iter().flat_map(|validate| &validate.in_vm_validations);
        let validators = validations.filter_map(|step| match step {
            Validator::Shell(step) => uri_of(&step.script),
            Validator::PowerShell(step) => uri_of(&step.script),
            Validator::File(step) => step.source_uri.known(),
        });
        // The engine fetches sources itself, also from where no allow list can lead, such as an address.
        let allowable = |endpoint: &Endpoint| network_policy::Endpoint::parse(&endpoint.to_string()).is_ok();
        let named = customizers.chain(validators).filter_map(Endpoint::of_uri).filter(allowable);
        let all: BTreeSet<_> = named.chain(self.recipe.allow.iter().cloned()).collect();
        all.into_iter().collect()
    }
}

/// The recipe in force, and where it stands.
pub struct Loaded {
    /// What was read.
    pub recipe: Recipe,
    /// The file; none for the built-in recipe.
    pub file: Option<PathBuf>,
    /// What its author would want to know, for people.
    pub warnings: Vec<String>,
}

/// Reads the configuration in force; the built-in recipe where there is none.
///
/// # Errors
/// When the file cannot be read or is wrong.
pub fn load_recipe(context: &Context) -> Result<Loaded, Failure> {
    let Some(file) = context.configuration()? else {
        return Ok(Loaded { recipe: Recipe::default(), file: None, warnings: Vec::new() });
    };
    let source = read(&file)?;
    let parsed = recipe::parse(&source);
    let warnings = sort_out(Category::Input, &source, &parsed.diagnostics)?;
    let recipe = parsed.recipe.ok_or_else(|| nothing_in(&source))?;
    Ok(Loaded { recipe, file: Some(file), warnings })
}

/// Reads a text file no larger than any document may be.
///
/// # Errors
/// When it cannot be read, is too large or is not UTF-8.
pub fn read(file: &Path) -> Result<SourceText, Failure> {
    let open = File::open(file).map_err(|error| Failure::io("read", file, &error))?;
    let bytes = bytes(file, open)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::new(
            Category::Input,
            format!("{} is not a text file (byte {at} is not UTF-8)", file.display()),
        )
        .in_file(file)
    })?;
    Ok(SourceText::new(file.display().to_string(), text))
}

/// Reads one byte more than any document may have, at most.
///
/// # Errors
/// When it cannot be read.
pub fn bytes(name: &Path, open: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = document::MAX_BYTES as u64 + 1;
    open.take(limit).read_to_end(&mut bytes).map_err(|error| Failure::io("read", name, &error))?;
    Ok(bytes)
}

/// Errors become a failure, warnings texts.
///
/// # Errors
/// When any diagnostic is an error.
pub fn sort_out(
    category: Category,
    source: &SourceText,
    diagnostics: &[Diagnostic],
) -> Result<Vec<String>, Failure> {
    let (errors, warnings): (Vec<_>, Vec<_>) = diagnostics.iter().partition(|found| found.is_error());
    let warnings = warnings.into_iter().map(|found| in_one_line(found, source)).collect();
    if errors.is_empty() {
        return Ok(warnings);
    }
    let problems = errors.iter().map(|found| Problem::in_document(category, found, source)).collect();
    Err(Failure::several(problems).beside(warnings))
}

/// A warning stands among the lines of a build: place, message, advice.
pub fn in_one_line(found: &Diagnostic, source: &SourceText) -> String {
    let at = source.position(found.span.start);
    format!("{}:{}:{}: {}", source.name(), at.line, at.column, without_a_place(found))
}

/// The same about no place of any document, such as what none of them holds.
pub fn without_a_place(found: &Diagnostic) -> String {
    let hint = found.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}{hint} [{}]", found.message, found.code)
}

fn uri_of(script: &Script) -> Option<&str> {
    match script {
        Script::Uri { uri, .. } => uri.known(),
        Script::Inline(_) => None,
    }
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A reader that gives neither a value nor an error would be wrong; said rather than assumed.
fn nothing_in(source: &SourceText) -> Failure {
    Problem::new(Category::Input, format!("{} holds nothing that can be read", source.name())).into()
}
