//! Says what was measured: a table and a page for a person, JSON for a machine.
#![forbid(unsafe_code)]

pub(crate) mod compare;
pub(crate) mod document;
pub(crate) mod page;
mod plot;
pub(crate) mod progress;
mod svg;
pub(crate) mod table;

/// The middle value; of two in the middle, their mean. `None` of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// Lays out rows in columns, numbers to the right, as Markdown. The first row is the heading.
pub(crate) fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            text += &format!("| {cell:>width$} ");
        }
        text += "|\n";
        if number == 0 {
            widths.iter().for_each(|&width| text += &format!("|{}", "-".repeat(width + 2)));
            text += "|\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_needs_no_order_and_no_odd_count() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["N".to_owned(), "ns".to_owned()], vec!["200".to_owned(), "9400".to_owned()]];
        assert_eq!(markdown(&rows), "|   N |   ns |\n|-----|------|\n| 200 | 9400 |\n");
    }
}
