//! Places for answers that are sent for long: so many in all, so many of one organisation and of one
//! principal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::Thumbprint;

use crate::service::auth::Reader;
use crate::service::status::Failure;

/// How many places there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    /// What they are for, as a refusal says.
    pub(super) what: &'static str,
    pub(super) all: usize,
    pub(super) of_organization: usize,
    pub(super) of_principal: usize,
}

/// The places that are taken.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    places: Places,
    taken: Arc<Mutex<BTreeMap<(String, Thumbprint), usize>>>,
}

/// One place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    reader: (String, Thumbprint),
}

impl Slots {
    /// All free.
    pub(super) fn new(places: Places) -> Self {
        Self {
            places,
            taken: Arc::default(),
        }
    }

    /// A place for one more answer to this reader.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] where its own, its organisation's or all are taken.
    pub(super) fn take(&self, reader: &Reader) -> Result<Slot, Failure> {
        let reader = (reader.organization.clone(), reader.key);
        let mut taken = self.lock();
        let all: usize = taken.values().sum();
        let of_organization = taken.iter().filter(|((other, _), _)| *other == reader.0);
        let of_organization: usize = of_organization.map(|(_, taken)| taken).sum();
        let own = taken.get(&reader).copied().unwrap_or(0);
        let places = self.places;
        if all >= places.all
            || of_organization >= places.of_organization
            || own >= places.of_principal
        {
            let words = format!(
                "{own} {} of this principal, {of_organization} of its organisation and {all} in all are \
                 open on this node; {}, {} and {} may be",
                places.what, places.of_principal, places.of_organization, places.all
            );
            return Err(Failure::new(Reason::Overloaded, words));
        }
        taken.insert(reader.clone(), own + 1);
        Ok(Slot {
            slots: self.clone(),
            reader,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, Thumbprint), usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        if let Some(own) = taken.get_mut(&self.reader) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.reader);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::statement::key::SigningKey;

    const PLACES: Places = Places {
        what: "watches",
        all: 12,
        of_organization: 5,
        of_principal: 3,
    };

    fn reader(organization: &str, number: usize) -> Reader {
        let seed = [u8::try_from(number).unwrap(); 32];
        Reader {
            organization: organization.to_owned(),
            principal: format!("p-{number}"),
            key: SigningKey::from_seed(&seed).public_key().thumbprint(),
        }
    }

    #[test]
    fn one_principal_and_one_organisation_leave_room_for_others() {
        let slots = Slots::new(PLACES);
        let take = |organization, principal| slots.take(&reader(organization, principal));
        let greedy: Vec<Slot> = (0..PLACES.of_principal)
            .map(|_| take("greedy", 1).unwrap())
            .collect();
        let refused = take("greedy", 1).unwrap_err();
        assert_eq!(refused.reason(), Reason::Overloaded);
        assert!(refused.to_string().contains("3 watches"), "{refused}");
        let others: Vec<Slot> = (PLACES.of_principal..PLACES.of_organization)
            .map(|number| take("greedy", number).unwrap())
            .collect();
        let refused = take("greedy", 99).unwrap_err();
        assert_eq!(refused.reason(), Reason::Overloaded);
        take("other", 1).unwrap();
        drop(greedy);
        take("greedy", 1).unwrap();
        drop(others);
        assert!(slots.lock().is_empty());
    }

    #[test]
    fn a_node_has_an_end_too() {
        let slots = Slots::new(PLACES);
        let open: Vec<Slot> = (0..PLACES.all)
            .map(|place| {
                let organization = format!("org-{}", place / PLACES.of_organization);
                let principal = place % PLACES.of_organization;
                slots.take(&reader(&organization, principal)).unwrap()
            })
            .collect();
        let one_more = reader("one-more", 1);
        assert!(slots.take(&one_more).is_err());
        drop(open);
        slots.take(&one_more).unwrap();
    }
}
