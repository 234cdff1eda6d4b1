use std::fmt::Debug;

use ort::{
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{IoBinding, Session},
    value::{PrimitiveTensorElementType, Tensor},
};

use crate::backend::Provider;

/// Transfer of values from the host to the device of a session, and back.
pub(super) struct Transfer {
    kind: Kind,
    /// Allocator of host memory from which the device copies directly, if there is one.
    host: Allocator,
    device: Option<Allocator>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// No copy: the session runs in host memory.
    None,
    /// ONNX Runtime copies the bound tensors.
    Bind,
    /// Copy to device memory at a fixed address, as CUDA graphs need it.
    Fixed,
}

impl Transfer {
    pub fn new(session: &Session, provider: Provider, fixed: bool) -> ort::Result<Self> {
        let number = match provider {
            Provider::Cpu => {
                let (kind, device) =
                    if fixed { (Kind::Fixed, Some(Allocator::default())) } else { (Kind::None, None) };
                return Ok(Self { kind, host: Allocator::default(), device });
            }
            Provider::Cuda(number) | Provider::TensorRt(number) => number,
        };
        let memory = |device, kind| MemoryInfo::new(device, number, AllocatorType::Device, kind);
        let pinned = memory(AllocationDevice::CUDA_PINNED, MemoryType::CPUOutput)
            .and_then(|memory| Allocator::new(session, memory));
        let device = if fixed {
            let memory = memory(AllocationDevice::CUDA, MemoryType::Default)?;
            Some(Allocator::new(session, memory)?)
        } else {
            None
        };
        Ok(Self {
            kind: if fixed { Kind::Fixed } else { Kind::Bind },
            host: pinned.unwrap_or_default(),
            device,
        })
    }

    /// A tensor of zeros in host memory.
    fn host_tensor<T: Element>(&self, shape: &[usize]) -> ort::Result<Tensor<T>> {
        let mut tensor: Tensor<T> = Tensor::new(&self.host, sizes(shape))?;
        if tensor.try_extract_tensor_mut::<T>().is_err() {
            tensor = Tensor::new(&Allocator::default(), sizes(shape))?;
        }
        tensor.extract_tensor_mut().1.fill(T::default());
        Ok(tensor)
    }

    /// A tensor at a fixed address on the device, if CUDA graphs need it.
    fn fixed<T: Element>(&self, shape: &[usize]) -> ort::Result<Option<Tensor<T>>> {
        self.device.as_ref().map(|device| Tensor::new(device, sizes(shape))).transpose()
    }
}

fn sizes(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&size| size as i64).collect()
}

/// Element type of a tensor.
pub(super) trait Element:
    PrimitiveTensorElementType + Debug + Copy + Default + PartialEq + 'static
{
}

impl Element for f32 {}
impl Element for i32 {}
impl Element for i64 {}

/// Memory for an input, allocated once.
pub(super) struct Input<T: Element> {
    name: &'static str,
    host: Tensor<T>,
    fixed: Option<Tensor<T>>,
    kind: Kind,
    changed: bool,
}

impl<T: Element> Input<T> {
    /// Allocates zeros and binds them to the input.
    pub fn new(
        binding: &mut IoBinding,
        transfer: &Transfer,
        name: &'static str,
        shape: &[usize],
    ) -> ort::Result<Self> {
        let (host, fixed) = (transfer.host_tensor(shape)?, transfer.fixed(shape)?);
        binding.bind_input(name, fixed.as_ref().unwrap_or(&host))?;
        Ok(Self { name, host, fixed, kind: transfer.kind, changed: true })
    }

    /// Writes values from index `at` on.
    pub fn write(&mut self, at: usize, values: &[T]) {
        let (_, all) = self.host.extract_tensor_mut();
        let place = &mut all[at..at + values.len()];
        // Images and numbers of samples are mostly the same as in the batch before.
        if values.len() > 4096 || place != values {
            place.copy_from_slice(values);
            self.changed = true;
        }
    }

    /// Copies the written values to the device of the session.
    pub fn send(&mut self, binding: &mut IoBinding) -> ort::Result<()> {
        if std::mem::take(&mut self.changed) {
            match (self.kind, &mut self.fixed) {
                (Kind::None, _) => {}
                (_, Some(fixed)) => self.host.copy_into(fixed)?,
                (_, None) => binding.bind_input(self.name, &self.host)?,
            }
        }
        Ok(())
    }
}

/// Memory for an output, allocated once.
pub(super) struct Output<T: Element> {
    host: Tensor<T>,
    fixed: Option<Tensor<T>>,
}

impl<T: Element> Output<T> {
    /// Allocates zeros and binds them to the output.
    pub fn new(
        binding: &mut IoBinding,
        transfer: &Transfer,
        name: &'static str,
        shape: &[usize],
    ) -> ort::Result<Self> {
        let mut host: Tensor<T> = Tensor::new(&Allocator::default(), sizes(shape))?;
        host.extract_tensor_mut().1.fill(T::default());
        let mut fixed = transfer.fixed(shape)?;
        binding.bind_output(name, fixed.as_mut().unwrap_or(&mut host))?;
        Ok(Self { host, fixed })
    }

    /// Copies the output of the session to the host.
    pub fn fetch(&mut self) -> ort::Result<()> {
        self.fixed.as_ref().map_or(Ok(()), |fixed| fixed.copy_into(&mut self.host))
    }

    pub fn values(&self) -> &[T] {
        self.host.extract_tensor().1
    }
}
