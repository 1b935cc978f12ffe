namespace Fokker

/// Tensors for another library in this process that is on the same libtorch, and from it: by the addresses of C++'s `at::Tensor`, nothing copied.
module internal Handover =

    /// Whether this engine can, so that it is left to see whether the other library is on the same libtorch.
    let isPossible () : bool = Engines.Current.IsShared

    let private ask (t: Tensor) (question: nativeint -> 'R) : 'R =
        let pointer = t.Use()

        try
            question pointer
        finally
            t.Leave()

    /// Whether a derivative of it is being taken.
    let isTracked (t: Tensor) : bool = ask t Engines.Current.IsTracked

    /// Whether it is on a graph.
    let isOnGraph (t: Tensor) : bool = ask t Engines.Current.RequiresGrad

    /// The address of a new `at::Tensor`, which the other library deletes.
    let give (t: Tensor) : nativeint = ask t Engines.Current.Share

    /// The tensor at the address of another library's, which keeps its own.
    let take (address: nativeint) : Tensor =
        let mutable value = Unchecked.defaultof<NativeValue>

        if Engines.Current.Adopt(address, &value) < 0 || value.Tag <> 1 then
            raise (TensorException $"a tensor of another library: {Engines.Current.Error()}")

        Door.accept value
