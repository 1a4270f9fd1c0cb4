//! Small workbooks, as spreadsheet programs write them.

use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const TYPES: &str = r#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>"#;
const ROOT: &str = r#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
/// Style 1 is a date.
const STYLES: &str = r#"<?xml version="1.0"?><styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>"#;

/// The bytes of a ZIP file of these parts.
pub(crate) fn zipped(parts: &[(String, String)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, content) in parts {
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The parts of a workbook: sheets with the rows of their data, as XML.
pub(crate) fn parts(sheets: &[(&str, String)]) -> Vec<(String, String)> {
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let mut list = String::new();
    let mut links = String::new();
    let mut parts = Vec::new();
    for (number, (name, rows)) in (1..).zip(sheets) {
        let entry = format!(r#"<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>"#);
        list.push_str(&entry);
        let link = format!(
            r#"<Relationship Id="r{number}" Type="{relations}/worksheet" Target="worksheets/sheet{number}.xml"/>"#
        );
        links.push_str(&link);
        let sheet = format!(
            r#"<?xml version="1.0"?><worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>"#
        );
        parts.push((format!("xl/worksheets/sheet{number}.xml"), sheet));
    }
    let styles = format!(r#"<Relationship Id="s" Type="{relations}/styles" Target="styles.xml"/>"#);
    links.push_str(&styles);
    let rels = "http://schemas.openxmlformats.org/package/2006/relationships";
    let named = [
        ("[Content_Types].xml", TYPES.to_owned()),
        ("_rels/.rels", ROOT.to_owned()),
        (
            "xl/workbook.xml",
            format!(
                r#"<?xml version="1.0"?><workbook xmlns="{main}" xmlns:r="{relations}"><sheets>{list}</sheets></workbook>"#
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                r#"<?xml version="1.0"?><Relationships xmlns="{rels}">{links}</Relationships>"#
            ),
        ),
        ("xl/styles.xml", STYLES.to_owned()),
    ];
    let named = named
        .into_iter()
        .map(|(name, content)| (name.to_owned(), content));
    named.chain(parts).collect()
}

/// A workbook of one sheet, whose cells are texts; `=F` is a formula, `#N` a number, `@N` a date by
/// its serial number, and an empty text is no cell.
pub(crate) fn workbook(name: &str, rows: &[&[&str]]) -> Vec<u8> {
    zipped(&parts(&[(name, data(rows))]))
}

/// The rows of a sheet.
pub(crate) fn data(rows: &[&[&str]]) -> String {
    let mut xml = String::new();
    for (number, row) in (1..).zip(rows) {
        let start = format!(r#"<row r="{number}">"#);
        xml.push_str(&start);
        for (letter, text) in ('A'..='Z').zip(*row).filter(|(_, text)| !text.is_empty()) {
            let place = format!("{letter}{number}");
            let cell = match text.split_at_checked(1) {
                Some(("=", formula)) => format!(r#"<c r="{place}"><f>{formula}</f><v>42</v></c>"#),
                Some(("#", number)) => format!(r#"<c r="{place}"><v>{number}</v></c>"#),
                Some(("@", serial)) => format!(r#"<c r="{place}" s="1"><v>{serial}</v></c>"#),
                _ => format!(r#"<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>"#),
            };
            xml.push_str(&cell);
        }
        xml.push_str("</row>");
    }
    xml
}
