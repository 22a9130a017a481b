//! Pages of the book as values: blocks, links, headings. Judges nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A fenced block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// Page and line, for messages.
    pub(crate) place: String,
    /// The language.
    pub(crate) language: String,
    /// The words behind it, which say how it is checked.
    pub(crate) words: Vec<String>,
    pub(crate) text: String,
}

impl Block {
    /// Whether the word stands behind the language.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.words.iter().any(|one| one == word)
    }

    /// What stands behind `NAME=`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A heading, or something else with a line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) text: String,
}

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    /// From the root of the repository.
    pub(crate) path: String,
    pub(crate) blocks: Vec<Block>,
    /// Where links and images lead.
    pub(crate) links: Vec<Line>,
    pub(crate) headings: Vec<Line>,
    /// What headings are called in links.
    pub(crate) anchors: Vec<String>,
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every page that is checked: the book, and what lies beside it.
pub(crate) fn pages() -> Vec<Page> {
    let mut paths = vec![];
    below("docs", &mut paths);
    paths.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(str::to_owned));
    paths.sort();
    paths.iter().map(|path| page(path)).collect()
}

/// The pages of the book itself.
pub(crate) fn book() -> Vec<Page> {
    pages().into_iter().filter(|page| page.path.starts_with("docs/")).collect()
}

/// One page.
pub(crate) fn page(path: &str) -> Page {
    read(path, &fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}")))
}

fn below(folder: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(root().join(folder)).into_iter().flatten().flatten() {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        match entry.path() {
            found if found.is_dir() => below(&path, paths),
            found if found.extension().is_some_and(|end| end == "md") => paths.push(path),
            _ => {}
        }
    }
}

/// A page's text as a page.
pub(crate) fn read(path: &str, text: &str) -> Page {
    let mut page =
        Page { path: path.to_owned(), blocks: vec![], links: vec![], headings: vec![], anchors: vec![] };
    let mut heading: Option<String> = None;
    let mut in_block = false;
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        let number = text[..range.start].matches('\n').count() + 1;
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                in_block = true;
                let info = match kind {
                    CodeBlockKind::Fenced(info) => info.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                let mut words = info.split_whitespace().map(str::to_owned);
                let language = words.next().unwrap_or_default();
                let place = format!("{path}:{number}");
                page.blocks.push(Block { place, language, words: words.collect(), text: String::new() });
            }
            Event::End(TagEnd::CodeBlock) => in_block = false,
            Event::Text(piece) if in_block => page.blocks.last_mut().unwrap().text.push_str(&piece),
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let text = heading.take().unwrap();
                page.anchors.push(anchor(&text, &page.anchors));
                page.headings.push(Line { number, text });
            }
            Event::Text(piece) | Event::Code(piece) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&piece);
                }
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(Line { number, text: dest_url.to_string() });
            }
            _ => {}
        }
    }
    page
}

/// What a heading is called in links, as GitHub and mdBook do it.
fn anchor(heading: &str, before: &[String]) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_lowercase().collect::<String>()),
        c if c.is_whitespace() => Some("-".to_owned()),
        _ => None,
    });
    let plain: String = kept.collect();
    let mut name = plain.clone();
    let mut number = 0;
    while before.contains(&name) {
        number += 1;
        name = format!("{plain}-{number}");
    }
    name
}

#[test]
fn a_page_is_read_with_its_places() {
    let text = "# A `b`, c!\n\n[x](y.md#z) ![i](i.png)\n\n```yaml file=a.yaml part\nk: v\n```\n\n# A b c\n";
    let page = read("p.md", text);
    assert_eq!(page.anchors, ["a-b-c", "a-b-c-1"]);
    assert_eq!(
        page.links.iter().map(|l| (l.number, l.text.as_str())).collect::<Vec<_>>(),
        [(3, "y.md#z"), (3, "i.png")]
    );
    let block = &page.blocks[0];
    assert_eq!(
        (block.place.as_str(), block.language.as_str(), block.text.as_str()),
        ("p.md:5", "yaml", "k: v\n")
    );
    assert!(block.is("part") && !block.is("file") && block.value("file") == Some("a.yaml"));
}
