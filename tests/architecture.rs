//! The shape of the code, read from the code: which file uses which, whole files, re-exports followed to where a thing stands.
//! ARCHITECTURE.md draws the arrows that are held here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, UseTree};

/// What each room of the program may use besides itself; whoever is not listed may be used by nobody but `main`.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "commands",
        &[
            "args", "balancer", "check", "config", "error", "escape", "fleet", "fleets", "platform", "rehearse",
            "remote", "report", "stack", "top", "topology", "view", "wire", "wrap",
        ],
    ),
    ("rehearse", &["balancer", "check", "error", "escape", "io", "platform", "remote", "report", "topology"]),
    ("stack", &["args", "balancer", "check", "config", "error", "remote", "topology", "wire"]),
    ("args", &["balancer", "config", "topology", "wire"]),
    ("config", &["balancer", "check", "error", "fleet", "platform", "report", "topology", "wire"]),
    ("top", &["error", "escape", "remote", "wire"]),
    ("view", &["error", "fleet", "fleets", "io", "platform", "remote", "wire"]),
    ("fleets", &["error", "io", "remote", "wire"]),
    ("fleet", &["error", "escape", "io", "journal", "platform", "runfile", "topology", "wire"]),
    ("backend", &["io", "journal", "platform", "wire"]),
    ("check", &["error", "escape", "fleets", "io", "platform", "remote", "report", "runfile", "topology", "wire"]),
    ("balancer", &["error", "escape", "platform", "topology"]),
    ("report", &["balancer", "escape", "wrap"]),
    ("error", &["wrap"]),
    ("remote", &["error", "io", "runfile", "wire"]),
    ("runfile", &["platform"]),
    ("journal", &["platform", "wire"]),
    ("topology", &["platform", "wire"]),
    ("io", &["platform", "wire"]),
    ("platform", &[]),
    ("escape", &[]),
    ("wire", &[]),
    ("wrap", &[]),
];

/// Crates whose dependencies leave no room for a runtime, a socket, a clock, a file or randomness; the standard library's are banned
/// by the `clippy.toml` beside them.
const PURE: &[(&str, &[&str])] = &[
    ("http", &["base64", "http1", "httparse", "sha1_smol", "xxhash-rust"]),
    ("verdict", &["http", "schemars", "serde", "statrs", "uuid"]),
];

/// What reads and writes HTTP/1 itself: its grammar and framing, a backend's connection, the client of the check. The fallback balancer and
/// what is planted in tests use the first.
const BY_HAND: &[(&str, &[&str])] = &[
    (
        "crates/http/src",
        &[
            "body",
            "chunks",
            "encode",
            "framing",
            "h1/client",
            "h1/mod",
            "h1/server",
            "malformed",
            "message",
            "stream",
            "target",
            "token",
            "version",
        ],
    ),
    ("src/backend", &["connection", "exchange", "response"]),
    ("src/check/load", &["exchange", "request", "response"]),
];
const MOST_BY_HAND: usize = 3_600;

/// A file may be longer than this only if its head says why: a line of its `//!` that begins with `Long:`.
const LONGEST: usize = 600;

/// One crate: its modules by path, each with its file.
struct Krate {
    modules: BTreeMap<Vec<String>, Module>,
}

struct Module {
    file: PathBuf,
    /// Names that stand for something elsewhere: `use` of any visibility.
    aliases: Vec<(String, Vec<String>)>,
    /// Paths that the file names, re-exports apart.
    named: Vec<Vec<String>>,
    /// Types that it defines.
    types: Vec<String>,
    lines: usize,
    head: String,
}

impl Krate {
    fn read(root: &Path) -> Krate {
        let mut krate = Krate { modules: BTreeMap::new() };
        let folder = root.parent().unwrap();
        krate.add(Vec::new(), root, folder);
        krate
    }

    fn add(&mut self, path: Vec<String>, file: &Path, folder: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let tests =
            parsed.items.iter().filter(|item| is_for_tests(item)).map(|item| lines_of(item).count()).sum::<usize>();
        let head = text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n");
        self.add_items(&path, file, folder, &parsed.items, text.lines().count() - tests, head);
    }

    fn add_items(&mut self, path: &[String], file: &Path, folder: &Path, items: &[Item], lines: usize, head: String) {
        let children: BTreeSet<String> = items
            .iter()
            .filter(|item| !is_for_tests(item))
            .filter_map(|item| if let Item::Mod(child) = item { Some(child.ident.to_string()) } else { None })
            .collect();
        let mut reader = Reader { here: path.to_vec(), children: &children, module: None };
        let mut module =
            Module { file: file.to_owned(), aliases: Vec::new(), named: Vec::new(), types: Vec::new(), lines, head };
        for item in items.iter().filter(|item| !is_for_tests(item)) {
            match item {
                Item::Use(it) => {
                    let is_reexport = !matches!(it.vis, syn::Visibility::Inherited);
                    let mut leaves = Vec::new();
                    leaves_of(&it.tree, Vec::new(), &mut leaves);
                    for (leaf, name) in leaves {
                        let Some(absolute) = reader.absolute(&leaf) else { continue };
                        let name = name.unwrap_or_else(|| panic!("{}: nobody can follow a glob", file.display()));
                        module.aliases.push((name, absolute.clone()));
                        if !is_reexport {
                            module.named.push(absolute);
                        }
                    }
                }
                Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let mut below = path.to_vec();
                    below.push(name.clone());
                    if let Some((_, items)) = &child.content {
                        self.add_items(&below, file, &folder.join(&name), items, 0, String::new());
                    } else {
                        let (flat, deep) = (folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs"));
                        let file = if flat.exists() { flat } else { deep };
                        self.add(below, &file, &folder.join(&name));
                    }
                }
                other => {
                    module.types.extend(type_names(other));
                    reader.module = Some(module);
                    reader.visit_item(other);
                    module = reader.module.take().unwrap();
                }
            }
        }
        self.modules.insert(path.to_vec(), module);
    }

    /// The file in which a path ends, re-exports followed.
    fn file_of(&self, path: &[String], depth: usize) -> Option<&Path> {
        let mut module = Vec::new();
        for (at, segment) in path.iter().enumerate() {
            let mut child = module.clone();
            child.push(segment.clone());
            if self.modules.contains_key(&child) {
                module = child;
                continue;
            }
            let here = self.modules.get(&module)?;
            if depth < 8
                && let Some((_, target)) = here.aliases.iter().find(|(name, _)| name == segment)
            {
                let target: Vec<String> = target.iter().chain(&path[at + 1..]).cloned().collect();
                if target != path {
                    return self.file_of(&target, depth + 1);
                }
            }
            return Some(&here.file);
        }
        self.modules.get(&module).map(|module| module.file.as_path())
    }

    /// Who uses whom, file by file.
    fn edges(&self) -> BTreeSet<(&Path, &Path)> {
        let mut edges = BTreeSet::new();
        for module in self.modules.values() {
            for path in &module.named {
                if let Some(file) = self.file_of(path, 0)
                    && file != module.file
                {
                    edges.insert((module.file.as_path(), file));
                }
            }
        }
        edges
    }
}

/// The names of the types that an item defines; a macro may define several.
fn type_names(item: &Item) -> Vec<String> {
    let name = match item {
        Item::Enum(it) => &it.ident,
        Item::Struct(it) => &it.ident,
        Item::Trait(it) => &it.ident,
        Item::Type(it) => &it.ident,
        Item::Union(it) => &it.ident,
        Item::Macro(it) => return types_in_tokens(&it.mac.tokens),
        _ => return Vec::new(),
    };
    vec![name.to_string()]
}

fn types_in_tokens(tokens: &TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let is_keyword = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word == "enum" || word == "struct");
    let named = tokens.array_windows().filter_map(|[keyword, name]| match name {
        TokenTree::Ident(name) if is_keyword(keyword) => Some(name.to_string()),
        _ => None,
    });
    named.collect()
}

/// Collects the paths that code names.
struct Reader<'a> {
    here: Vec<String>,
    children: &'a BTreeSet<String>,
    module: Option<Module>,
}

impl Reader<'_> {
    /// From the root of the crate; None for what stands in another crate or is local.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut rest = path;
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => self.here.clone(),
            first if self.children.contains(first) => return Some([&self.here[..], path].concat()),
            _ => return None,
        };
        while let Some(first) = rest.first() {
            match first.as_str() {
                "crate" | "self" => {}
                "super" => drop(base.pop()),
                _ => break,
            }
            rest = &rest[1..];
        }
        Some([&base[..], rest].concat())
    }

    fn note(&mut self, path: &[String]) {
        if let Some(absolute) = self.absolute(path)
            && !absolute.is_empty()
        {
            self.module.as_mut().unwrap().named.push(absolute);
        }
    }

    /// Paths inside a macro's tokens.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.note(&std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.note(&std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.note_tokens(group.stream());
                    }
                }
            }
        }
        self.note(&path);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.note(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, it: &'ast syn::Macro) {
        self.note_tokens(it.tokens.clone());
        visit::visit_macro(self, it);
    }

    fn visit_item_use(&mut self, it: &'ast syn::ItemUse) {
        let mut leaves = Vec::new();
        leaves_of(&it.tree, Vec::new(), &mut leaves);
        for (leaf, _) in leaves {
            self.note(&leaf);
        }
    }

    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}
}

fn leaves_of(tree: &UseTree, mut path: Vec<String>, leaves: &mut Vec<(Vec<String>, Option<String>)>) {
    match tree {
        UseTree::Path(it) => {
            path.push(it.ident.to_string());
            leaves_of(&it.tree, path, leaves);
        }
        UseTree::Name(it) if it.ident == "self" => leaves.push((path.clone(), path.last().cloned())),
        UseTree::Name(it) => {
            let name = it.ident.to_string();
            path.push(name.clone());
            leaves.push((path, Some(name)));
        }
        UseTree::Rename(it) => {
            path.push(it.ident.to_string());
            leaves.push((path, Some(it.rename.to_string())));
        }
        UseTree::Glob(_) => leaves.push((path, None)),
        UseTree::Group(it) => it.items.iter().for_each(|tree| leaves_of(tree, path.clone(), leaves)),
    }
}

fn is_for_tests(item: &Item) -> bool {
    let attributes = match item {
        Item::Mod(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        _ => return false,
    };
    attributes.iter().any(|it| {
        it.path().is_ident("cfg")
            && matches!(&it.meta, syn::Meta::List(list) if list.tokens.to_string().split(|c: char| !c.is_alphanumeric()).any(|word| word == "test" || word == "loom"))
    })
}

fn lines_of(item: &Item) -> RangeInclusive<usize> {
    use syn::spanned::Spanned;
    let span = item.span();
    span.start().line..=span.end().line
}

/// Groups of more than one that use each other in a circle (Tarjan's strongly connected components, by reachability: the graph is small).
fn circles(edges: &BTreeSet<(String, String)>) -> Vec<Vec<String>> {
    let nodes: BTreeSet<&String> = edges.iter().flat_map(|(from, to)| [from, to]).collect();
    let reach = |start: &String| {
        let mut seen: BTreeSet<&String> = BTreeSet::new();
        let mut open = vec![start];
        while let Some(node) = open.pop() {
            for (_, to) in edges.iter().filter(|(from, _)| from == node) {
                if seen.insert(to) {
                    open.push(to);
                }
            }
        }
        seen.into_iter().cloned().collect::<BTreeSet<String>>()
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = nodes.iter().map(|node| (*node, reach(node))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for node in &nodes {
        if reached[*node].contains(*node) {
            found.insert(reached[*node].iter().filter(|other| reached[*other].contains(*node)).cloned().collect());
        }
    }
    found.into_iter().collect()
}

/// The root of each crate, with what was read from there: once, because each of these tests looks at all of it.
static CRATES: LazyLock<Vec<(PathBuf, Krate)>> = LazyLock::new(|| {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries =
        ["api", "http", "testbed", "verdict", "world"].map(|name| home.join("crates").join(name).join("src/lib.rs"));
    let roots = [program()].into_iter().chain(libraries);
    roots.map(|root| (root.clone(), Krate::read(&root))).collect()
});

fn program() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let library = source.join("lib.rs");
    if library.exists() { library } else { source.join("main.rs") }
}

fn relative(file: &Path) -> String {
    file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(file).display().to_string()
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut found = Vec::new();
    for (root, krate) in CRATES.iter() {
        let edges = krate.edges();
        assert!(edges.len() > 2 || krate.modules.len() < 4, "{}: no edges are seen any more", relative(root));
        let edges = edges.into_iter().map(|(from, to)| (relative(from), relative(to))).collect();
        found.extend(circles(&edges));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_folders_use_each_other_in_a_circle() {
    let mut found = Vec::new();
    for (root, krate) in CRATES.iter() {
        let base = root.parent().unwrap();
        let all = krate.edges();
        let folders: BTreeSet<&Path> = krate
            .modules
            .values()
            .flat_map(|module| module.file.ancestors().skip(1))
            .filter(|it| it.starts_with(base))
            .collect();
        for folder in folders {
            // A file and the folder of its name are one room.
            let room = |file: &Path| {
                let first = file.strip_prefix(folder).ok()?.components().next()?.as_os_str().to_str()?.to_owned();
                let name = first.trim_end_matches(".rs").to_owned();
                (!["mod", "lib", "main"].contains(&name.as_str())).then(|| relative(&folder.join(name)))
            };
            let edges: BTreeSet<(String, String)> = all
                .iter()
                .filter_map(|(from, to)| Some((room(from)?, room(to)?)))
                .filter(|(from, to)| from != to)
                .collect();
            found.extend(circles(&edges));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_room_uses_only_what_lies_below_it() {
    let (root, krate) = &CRATES[0];
    let base = root.parent().unwrap();
    let room = |file: &Path| {
        let first = file.strip_prefix(base).unwrap().components().next().unwrap().as_os_str().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    };
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (from, to) in krate.edges() {
        let (user, used) = (room(from), room(to));
        if user == used || ["main", "lib"].contains(&user.as_str()) {
            continue;
        }
        let allowed = ARROWS.iter().find(|(name, _)| *name == user).map_or(&[][..], |(_, below)| below);
        if !allowed.contains(&used.as_str()) {
            wrong.push(format!("{} uses {}", relative(from), relative(to)));
        }
        seen.insert((user, used));
    }
    // An arrow that nobody needs any more would allow what nobody decided.
    let arrows = ARROWS.iter().flat_map(|(user, below)| below.iter().map(|used| (user.to_string(), used.to_string())));
    wrong
        .extend(arrows.filter(|arrow| !seen.contains(arrow)).map(|(user, used)| format!("{user} does not use {used}")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_pure_crates_depend_on_nothing_that_could_make_them_impure() {
    for (name, allowed) in PURE {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates").join(name);
        let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap();
        let dependencies = manifest.get("dependencies").and_then(|it| it.as_table()).unwrap();
        for dependency in dependencies.keys() {
            assert!(allowed.contains(&dependency.as_str()), "crates/{name} depends on {dependency}");
        }
        // Ids are minted elsewhere: with these features `uuid` would bring randomness.
        let uuid = dependencies.get("uuid").map(|it| format!("{it:?}")).unwrap_or_default();
        assert!(!uuid.contains("v4") && !uuid.contains("rng"), "crates/{name}: {uuid}");
        assert!(folder.join("clippy.toml").exists(), "crates/{name} has no list of what is banned");
    }
}

#[test]
fn few_lines_speak_http_by_hand() {
    let mut lines = 0;
    for (folder, files) in BY_HAND {
        for file in *files {
            lines += code_lines(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{file}.rs")));
        }
    }
    assert!((1_000..=MOST_BY_HAND).contains(&lines), "{lines} lines of code speak HTTP/1 by hand");
}

/// Lines of a file, but for tests, comments and empty ones.
fn code_lines(file: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    let parsed = syn::parse_file(&text).unwrap();
    let tests: Vec<_> = parsed.items.iter().filter(|item| is_for_tests(item)).map(lines_of).collect();
    let is_code = |(number, line): &(usize, &str)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//") && !tests.iter().any(|test| test.contains(number))
    };
    (1..).zip(text.lines()).filter(is_code).count()
}

#[test]
fn long_files_say_why() {
    let mut found = Vec::new();
    for (_, krate) in CRATES.iter() {
        for module in krate.modules.values() {
            if module.lines > LONGEST && !module.head.contains("\n//! Long:") {
                found.push(format!("{}: {} lines without tests", relative(&module.file), module.lines));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_type_name_stands_for_one_type() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, krate) in CRATES.iter() {
        for module in krate.modules.values() {
            for name in &module.types {
                files.entry(name.clone()).or_default().push(relative(&module.file));
            }
        }
    }
    let several: Vec<_> = files.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(several.is_empty(), "{several:#?}");
    assert!(files.len() > 500, "only {} types were found", files.len());
}

#[test]
fn unsafe_code_stands_in_the_journal_and_in_two_pollers_alone() {
    let mut files = 0;
    for (_, krate) in CRATES.iter() {
        for module in krate.modules.values() {
            files += 1;
            let text = fs::read_to_string(&module.file).unwrap();
            // `unsafe-inline` is a word of Content-Security-Policy.
            let code = text.replace("'unsafe-inline'", "").replace("unsafe_code", "");
            let file = relative(&module.file);
            let allowed = file.contains("journal")
                || ["poll.rs", "kqueue.rs"].map(|it| format!("src/io/poller/{it}")).contains(&file);
            assert!(allowed || !code.contains("unsafe"), "{} has unsafe code", relative(&module.file));
        }
    }
    assert!(files > 60, "the sources are not where this test looks for them");
}
