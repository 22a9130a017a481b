//! Rows of a file with commas: the first line has the names. Quotes are double ones, doubled within.

use super::text::Vars;

/// The rows.
pub(super) fn rows(text: &str) -> Result<Vec<Vars>, String> {
    let mut lines = lines(text.strip_prefix('\u{feff}').unwrap_or(text))?.into_iter();
    let Some((_, names)) = lines.next() else { return Ok(Vec::new()) };
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() || names.iter().take(at).any(|other| other == name) {
            return Err(format!("column {} has no name of its own", at + 1));
        }
    }
    lines
        .map(|(line, cells)| match cells.len() == names.len() {
            true => Ok(names.iter().cloned().zip(cells).collect()),
            false => Err(format!("line {line} has {} cells, there are {} names", cells.len(), names.len())),
        })
        .collect()
}

/// The cells of lines that are not blank, each line with its number.
fn lines(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    let mut line = 1;
    while chars.peek().is_some() {
        let start = line;
        let mut cells = vec![String::new()];
        let mut is_quoted = false;
        let mut is_blank = true;
        loop {
            let c = chars.next();
            let Some(cell) = cells.last_mut() else { break };
            line += usize::from(c == Some('\n'));
            match c {
                None if is_quoted => return Err(format!("line {start} has a quote without an end")),
                Some('"') if is_quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    cell.push('"');
                }
                Some('"') if is_quoted || cell.is_empty() => {
                    is_quoted = !is_quoted;
                    is_blank = false;
                }
                Some(c) if is_quoted => cell.push(c),
                Some('\r') if chars.peek() == Some(&'\n') => {}
                None | Some('\n') => break,
                Some(',') => {
                    is_blank = false;
                    cells.push(String::new());
                }
                Some(c) => {
                    is_blank &= c.is_whitespace();
                    cell.push(c);
                }
            }
        }
        if !is_blank {
            found.push((start, cells));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("a,b\n1,2\n\n3,\"x,\"\"y\"\"\nz\"", Ok(vec!["a=1 b=2", "a=3 b=x,\"y\"\nz"]))]
    #[case("\u{feff}a\r\n1\r\n", Ok(vec!["a=1"]))]
    #[case("a,b\n", Ok(vec![]))]
    #[case("", Ok(vec![]))]
    #[case("a,b\n1,2\n\n3\n", Err("line 4 has 1 cells, there are 2 names"))]
    #[case("a,b\n1,2,3\n", Err("line 2 has 3 cells"))]
    #[case("a,a\n", Err("column 2 has no name of its own"))]
    #[case("a\n\"1", Err("line 2 has a quote without an end"))]
    fn rows_have_the_names_of_the_first_line(#[case] text: &str, #[case] expected: Result<Vec<&str>, &str>) {
        let shown = |row: &Vars| row.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ");
        match (rows(text), expected) {
            (Ok(rows), Ok(expected)) => assert_eq!(rows.iter().map(shown).collect::<Vec<_>>(), expected),
            (Err(error), Err(words)) => assert!(error.contains(words), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }
}
