//! What a node opened of a batch, held against what it signed when it asked.

use prost::Message as _;
use zeroize::Zeroizing;

use crate::envelope::{ItemEvidence, ItemsCommitment, items};
use crate::oprf::{Blind, BlindedElement, check_opening};
use crate::proto::exchange as pb;

/// What a node says of an element, and the key that the element was shown to hide.
pub(super) type ReadElement = (pb::OpenedElement, Option<Zeroizing<Vec<u8>>>);

/// Reads what a node opened of a batch: the elements that were asked for, each with the key that it hid.
pub(super) fn read(
    items_root: [u8; 32],
    positions: &[u32],
    items: &[Zeroizing<Vec<u8>>],
) -> Result<Vec<ReadElement>, String> {
    let (elements, opened) = items.split_first().ok_or("it is empty")?;
    ItemsCommitment {
        count: 1,
        root: items_root,
    }
    .check(&[ItemEvidence::full(elements.to_vec())])
    .map_err(|_| "its elements are not those that it signed when it asked".to_owned())?;
    let (_, body) = items::split_item(elements).map_err(|error| error.to_string())?;
    let elements = body.as_chunks::<32>().0;
    if opened.len() != positions.len() {
        return Err("it is not of as many elements as were asked for".to_owned());
    }
    let mut read = Vec::with_capacity(opened.len());
    for (item, &position) in opened.iter().zip(positions) {
        let element = pb::OpenedElement::decode(item.as_slice())
            .map_err(|_| "an opened element cannot be read".to_owned())?;
        if element.position != position {
            return Err("it is of other elements than were asked for".to_owned());
        }
        let opens = match element.source() {
            pb::OpenedSource::Unspecified => {
                return Err(format!("it does not say what element {position} is of"));
            }
            pb::OpenedSource::Record | pb::OpenedSource::Search => true,
            _ => false,
        };
        let key = opens.then(|| Zeroizing::new(element.input.clone()));
        if let Some(key) = &key {
            let blinded = elements
                .get(position as usize)
                .ok_or("the batch has fewer elements")?;
            let blind = element.blind.as_slice().try_into();
            let blind: [u8; 32] = blind.map_err(|_| "a blind has not 32 octets".to_owned())?;
            let blind = Blind::from_bytes(blind).map_err(|error| error.to_string())?;
            check_opening(&blind, key, &BlindedElement::new(*blinded)).map_err(|_| {
                format!(
                    "blind and key of element {position} do not make the element that it signed"
                )
            })?;
        }
        read.push((element, key));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oprf::{BatchSeed, blind};

    const KEYS: [&[u8]; 3] = [b"\x02one", b"\x03two", b"\x02three"];

    /// A batch as its member signed it: the root of its item, and the item.
    fn batch() -> (BatchSeed, [u8; 32], Vec<u8>) {
        let seed = BatchSeed::from_bytes(&[5; 32]);
        let item = item_of(&seed);
        (seed, items::items_root(std::slice::from_ref(&item)), item)
    }

    /// The keys as a seed blinds them, in the item of a query.
    fn item_of(seed: &BatchSeed) -> Vec<u8> {
        let blinded = blind(seed, &KEYS).unwrap();
        let elements: Vec<u8> = blinded
            .batch()
            .elements()
            .flat_map(|element| *element.as_bytes())
            .collect();
        items::salted_item([9; 16], &elements)
    }

    fn element(seed: &BatchSeed, position: u32, key: &[u8]) -> pb::OpenedElement {
        pb::OpenedElement {
            position,
            source: pb::OpenedSource::Search.into(),
            blind: seed.open(position).to_bytes().to_vec(),
            input: key.to_vec(),
            record: None,
        }
    }

    fn reading(
        root: [u8; 32],
        item: &[u8],
        positions: &[u32],
        opened: &[pb::OpenedElement],
    ) -> Result<Vec<ReadElement>, String> {
        let opened = opened.iter().map(prost::Message::encode_to_vec);
        let items: Vec<Zeroizing<Vec<u8>>> = std::iter::once(item.to_vec())
            .chain(opened)
            .map(Zeroizing::new)
            .collect();
        read(root, positions, &items)
    }

    #[test]
    fn what_an_element_hid_is_shown() {
        let (seed, root, item) = batch();
        let opened = [element(&seed, 0, KEYS[0]), element(&seed, 2, KEYS[2])];
        let read = reading(root, &item, &[0, 2], &opened).unwrap();
        let keys: Vec<&[u8]> = read
            .iter()
            .filter_map(|(_, key)| Some(key.as_ref()?.as_slice()))
            .collect();
        assert_eq!(keys, [KEYS[0], KEYS[2]]);
    }

    #[test]
    fn no_element_opens_to_another_key_or_under_another_blind() {
        let (seed, root, item) = batch();
        let refused = |positions: &[u32], opened: &[pb::OpenedElement]| {
            reading(root, &item, positions, opened).err().unwrap()
        };
        // Another child than the one that was evaluated, whatever blind is given with it.
        let other = element(&seed, 0, b"\x02invented");
        assert!(refused(&[0], &[other]).contains("do not make"));
        let mut other = element(&seed, 0, KEYS[0]);
        other.blind = seed.open(1).to_bytes().to_vec();
        assert!(refused(&[0], std::slice::from_ref(&other)).contains("do not make"));
        other.blind.truncate(31);
        assert!(refused(&[0], std::slice::from_ref(&other)).contains("32 octets"));
        other.blind = vec![255; 32];
        refused(&[0], &[other]);
        // Another position's key in its place, other positions than were drawn, too few, and none.
        let swapped = pb::OpenedElement {
            position: 0,
            ..element(&seed, 1, KEYS[1])
        };
        assert!(refused(&[0], &[swapped]).contains("do not make"));
        assert!(refused(&[0], &[element(&seed, 1, KEYS[1])]).contains("other elements"));
        assert!(refused(&[0, 1], &[element(&seed, 0, KEYS[0])]).contains("as many"));
        assert!(refused(&[3], &[element(&seed, 3, KEYS[0])]).contains("fewer"));
        assert!(refused(&[0], &[pb::OpenedElement::default()]).contains("does not say"));
        assert!(read(root, &[0], &[]).is_err());
        // Other elements than were signed for, however well they open.
        let other_seed = BatchSeed::from_bytes(&[6; 32]);
        let forged = item_of(&other_seed);
        let opened = [element(&other_seed, 0, KEYS[0])];
        assert!(
            reading(root, &forged, &[0], &opened)
                .err()
                .unwrap()
                .contains("not those that it signed")
        );
    }

    #[test]
    fn noise_opens_to_nothing() {
        // An element of which its maker knows the logarithm, and no key: it would have to find one whose
        // hash fits.
        let noise = BatchSeed::from_bytes(&[7; 32]);
        let (_, _, item) = batch();
        let mut forged = item.clone();
        let blinded = blind(&noise, &[b"\x02anything".as_slice()]).unwrap();
        let element_of_noise = blinded.batch().elements().next().unwrap();
        forged[16..48].copy_from_slice(element_of_noise.as_bytes());
        let root = items::items_root(std::slice::from_ref(&forged));
        for key in KEYS {
            let opened = [element(&noise, 0, key)];
            assert!(reading(root, &forged, &[0], &opened).is_err());
        }
    }
}
