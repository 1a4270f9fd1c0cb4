//! `ledger.controls`: an organisation declares a catalogue of controls of its own.

use crate::aims::catalog::{Catalogue, Control, Parts, Relation, RelationKind};
use crate::limits::{CATALOGUE_CONTROLS_MAX, CATALOGUE_LIST_MAX, CATALOGUE_TITLE_BYTES_MAX};
use crate::limits::{KIND_VERSION_MAX, WORD_BYTES_MAX};
use crate::system::SystemKind;
use crate::system::fields::{Entry, MapReader, MapWriter, Payload, PayloadError};
use crate::system::id::OrganizationId;

/// One version of one catalogue, which holds behind this position of the log until the next version.
///
/// CBOR map: 1 organisation id, 2 scheme, 3 version, 4 title, ? 5 text, 6 controls
/// `[[id, title, [kind], [[relation (0 equal, 1 broader, 2 intersects), scheme, id]]]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controls {
    organization: OrganizationId,
    catalogue: Catalogue,
}

/// A catalogue that says more than is logged of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{place}: an organisation logs ids, titles, kinds and relations; {what} are for lookup alone"
)]
pub struct NotLoggable {
    /// Where it says more.
    pub place: String,
    /// What.
    pub what: &'static str,
}

impl Controls {
    /// The declaration of a catalogue, which has nothing but ids, titles, kinds and relations.
    pub fn new(organization: OrganizationId, catalogue: Catalogue) -> Result<Self, NotLoggable> {
        let parts = catalogue.parts();
        let more = |place: &str, what| {
            let place = place.to_owned();
            Err(NotLoggable { place, what })
        };
        if parts.aliases {
            return more("aliases", "ids that stand for others");
        }
        if !parts.dates.is_empty() || !parts.events.is_empty() {
            return more("date, event", "dates and events");
        }
        for control in &parts.controls {
            let is_plain = control.also.is_empty()
                && control.note.is_none()
                && control.duty.is_none()
                && control.clocks.is_empty()
                && control.applies.is_empty();
            if !is_plain {
                return more(&control.id, "spellings, notes, duties, clocks and dates");
            }
        }
        Ok(Self {
            organization,
            catalogue,
        })
    }

    /// Whose catalogue it is; an administrator of it signs.
    pub const fn organization(&self) -> &OrganizationId {
        &self.organization
    }

    /// The catalogue.
    pub const fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }
}

impl Payload for Controls {
    const KIND: SystemKind = SystemKind::Controls;

    fn write(&self, map: &mut MapWriter) {
        let parts = self.catalogue.parts();
        map.text(1, self.organization.as_str());
        map.text(2, &parts.scheme);
        map.uint(3, u64::from(parts.version));
        map.text(4, &parts.title);
        if let Some(text) = &parts.text {
            map.text(5, text);
        }
        map.list(6, &parts.controls, |encoder, control| {
            encoder.array(4).text(&control.id).text(&control.title);
            encoder.array(control.kinds.len());
            for kind in &control.kinds {
                encoder.text(kind);
            }
            encoder.array(control.relates.len());
            for relation in &control.relates {
                let number = relation.relation.number();
                encoder.array(3).uint(number);
                encoder.text(&relation.scheme).text(&relation.id);
            }
        });
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let organization = map
            .required(1, "organization")?
            .parsed(OrganizationId::new)?;
        let scheme = map.required(2, "scheme")?.text(1..=WORD_BYTES_MAX)?;
        let version = map.required(3, "version")?;
        let version = u32::try_from(version.uint()?)
            .ok()
            .filter(|number| (1..=KIND_VERSION_MAX).contains(number))
            .ok_or_else(|| version.wrong("1 to 65535"))?;
        let title = map.required(4, "title")?.text(LINE)?;
        let text = map.optional(5, "text").map(|entry| entry.text(LINE));
        let controls = map.required(6, "controls")?;
        let parts = Parts {
            scheme,
            version,
            title,
            text: text.transpose()?,
            aliases: false,
            dates: Vec::new(),
            events: Vec::new(),
            controls: controls.list(1..=CATALOGUE_CONTROLS_MAX, read_control)?,
        };
        let catalogue = Catalogue::new(parts).map_err(|error| controls.wrong(error))?;
        Ok(Self {
            organization,
            catalogue,
        })
    }

    fn organization(&self) -> Option<&OrganizationId> {
        Some(&self.organization)
    }

    fn subject_part(&self) -> String {
        format!("controls/{}/{}", self.organization, self.catalogue.scheme())
    }
}

const LINE: std::ops::RangeInclusive<usize> = 1..=CATALOGUE_TITLE_BYTES_MAX;
const WORD: std::ops::RangeInclusive<usize> = 1..=WORD_BYTES_MAX;

fn read_control(entry: Entry<'_, '_>) -> Result<Control, PayloadError> {
    let [id, title, kinds, relates] = entry.tuple()?;
    Ok(Control {
        id: id.text(WORD)?,
        title: title.text(LINE)?,
        kinds: kinds.list(0..=CATALOGUE_LIST_MAX, |kind| kind.text(WORD))?,
        relates: relates.list(0..=CATALOGUE_LIST_MAX, read_relation)?,
        ..Control::default()
    })
}

fn read_relation(entry: Entry<'_, '_>) -> Result<Relation, PayloadError> {
    let [relation, scheme, id] = entry.tuple()?;
    let number = relation.uint()?;
    let relation = RelationKind::of_number(number)
        .ok_or_else(|| relation.wrong("0 equal, 1 broader or 2 intersects"))?;
    Ok(Relation {
        relation,
        scheme: scheme.text(WORD)?,
        id: id.text(WORD)?,
    })
}
