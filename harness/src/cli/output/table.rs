//! Rows of cells for people, in columns.

/// Columns as wide as their widest cell, two blanks between them; a cell is one line of plain text.
pub(in crate::cli) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |text: &str| crate::base::text::plain(&text.replace('\n', " "));
    let head: Vec<String> = head.iter().map(|name| name.to_uppercase()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(rows.iter().map(|row| row.iter().map(|text| cell(text)).collect()))
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|text| text.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let rows = [
            vec!["grün".to_owned(), "7".to_owned(), String::new()],
            vec!["x\x1b[31m".into(), "1\n2".into(), "end".into()],
        ];
        assert_eq!(table(&["name", "n", "note"], &rows), "NAME  N    NOTE\ngrün  7\nx     1 2  end");
    }
}
