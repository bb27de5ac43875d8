//! What header extensions say of layers.

use dataplane::wire::dependency_descriptor::structure::Structure;
use dataplane::wire::dependency_descriptor::{self, Shift};
use dataplane::wire::layers_allocation::LayersAllocation;

/// Dependency descriptors, several of one source: each is a length and its bytes. A shifted one reads as before
/// but for its numbers.
pub fn dependency_descriptor(bytes: &[u8]) {
    let mut structure: Option<Structure> = None;
    let mut rest = bytes;
    while let [len, behind @ ..] = rest {
        let (descriptor, behind) = behind.split_at(behind.len().min(usize::from(*len)));
        rest = behind;
        let Some((seen, own)) = dependency_descriptor::read(descriptor, structure.as_ref()) else { continue };
        let mut shifted = descriptor.to_vec();
        let shift = Shift { frame_number: 0x8001, template_id: 17 };
        dependency_descriptor::shift(&mut shifted, shift);
        if own.is_some() {
            let (again, _) =
                dependency_descriptor::read(&shifted, None).expect("a shifted descriptor parses");
            assert_eq!(again.frame_number, seen.frame_number.wrapping_add(shift.frame_number));
            assert_eq!((again.frame, again.active_targets), (seen.frame, seen.active_targets));
        }
        if let Some(own) = own {
            assert!(own.targets().iter().all(|target| target.chain < Some(own.chain_count())));
            structure = Some(own);
        }
    }
}

/// What publishers say of their layers.
pub fn layers_allocation(bytes: &[u8]) {
    if let Some(allocation) = LayersAllocation::parse(bytes) {
        assert!(allocation.own_layers().count() <= allocation.layers.len());
        for layer in &allocation.layers {
            assert_eq!(layer.bitrates_kbps.len(), usize::from(layer.highest.temporal) + 1);
        }
    }
}
