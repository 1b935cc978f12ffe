module Fokker.Tests.Measures.FeatureClassifierTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

/// Three classes of 8 × 8 pictures: the left half is bright, the right half is, the middle is; in heavy noise.
let private pictures (seed: int64) (n: int) =
    let rng = Rng.ofSeed seed
    let labels = Rng.integers 3L [ n ] rng

    let masks =
        Tensor.ofArray
            [ 3; 1; 8; 8 ]
            [| for k in 0..2 do
                   for _ in 0..7 do
                       for x in 0..7 do
                           match k with
                           | 0 when x < 4 -> 1.0f
                           | 1 when x >= 4 -> 1.0f
                           | 2 when x >= 2 && x < 6 -> 1.0f
                           | _ -> 0.0f |]

    let noise = Rng.uniform Kind.Float32 [ n; 1; 8; 8 ] (Rng.named "noise" rng) * 1.4 - 0.9
    let images = Tensor.clamp -1.0 1.0 (noise + 0.5 * Tensor.indexSelect 0 labels masks)
    Dataset.ofSamples "pictures" "" "pictures" images (Some labels)

let private silent _ _ = ()

let private temporary () = IO.Path.Combine(IO.Path.GetTempPath(), $"fokker-classifier-{Guid.NewGuid():N}")

[<Tests>]
let tests =
    testList
        "Measures.FeatureClassifier"
        [ testCase "a classifier learns its classes, is kept, and is read back as it was"
          <| fun () ->
              let folder = temporary ()

              try
                  let data = pictures 1L 8000
                  let mutable steps = 0
                  let counting k _ = steps <- k
                  let first = FeatureClassifier.cachedIn folder counting 0L data
                  // Three times 7,200 pictures in batches of 128.
                  holds (steps = 168) $"{steps} steps"
                  // Chance is 1/3.
                  holds (first.Accuracy > 0.95) $"accuracy {first.Accuracy}"
                  let test = Dataset.heldOut Kind.Float32 800 (Rng.ofSeed 0L) data
                  let named = Tensor.equal (FeatureClassifier.classify first test.Data) test.Label.Value
                  close
                      1e-12
                      first.Accuracy
                      ((Tensor.mean (named.To Dtype.Float64)).ToFloat())
                      "accuracy is the share named rightly"

                  steps <- 0
                  let again = FeatureClassifier.cachedIn folder counting 0L data
                  holds (steps = 0) "nothing is trained the second time"
                  holds (Array.forall2 Tensor.same first.Parameters again.Parameters) "the same parameters"
                  close 0.0 first.Accuracy again.Accuracy "the same accuracy"

                  // A damaged file is no cache.
                  let file = Array.exactlyOne (IO.Directory.GetFiles folder)
                  IO.File.WriteAllBytes(file, Array.truncate 1000 (IO.File.ReadAllBytes file))
                  let third = FeatureClassifier.cachedIn folder counting 0L data
                  holds (steps = 168) "trained again"
                  holds
                      (Array.forall2 Tensor.same first.Parameters third.Parameters)
                      "the same seed gives the same classifier"

                  // Other pictures under the same name have a file of their own.
                  FeatureClassifier.cachedIn folder silent 0L (pictures 2L 400) |> ignore
                  holds ((IO.Directory.GetFiles folder).Length = 2) "two files"
              finally
                  IO.Directory.Delete(folder, true)

          testCase "where nothing can be kept the classifier is trained all the same"
          <| fun () ->
              let file = temporary ()
              IO.File.WriteAllText(file, "")

              try
                  let classifier =
                      FeatureClassifier.cachedIn (IO.Path.Combine(file, "inside")) silent 0L (pictures 3L 300)
                  holds (classifier.Parameters.Length = 8) "a classifier"
              finally
                  IO.File.Delete file

          testCase "the distance on features tells a missing class from a perfect sampler"
          <| fun () ->
              Scope.run0 (fun () ->
                  let data = pictures 4L 8000
                  let classifier = FeatureClassifier.train silent 0L data
                  let measure = FeatureClassifier.frechet classifier
                  let batch = Dataset.heldOut Kind.Float32 800 (Rng.ofSeed 1L) data
                  let half first = Tensor.narrow 0 first 400 batch.Data
                  let floor = measure.Between (Rng.ofSeed 0L) (half 0) (half 400)
                  // Zero and one only.
                  let two = Tensor.masked (Tensor.lessThan 1.5 (batch.Label.Value.To Dtype.Float64)) batch.Data
                  let missing = measure.Between (Rng.ofSeed 0L) two batch.Data
                  holds (missing > 3.0 * floor) $"without a class {missing}, floor {floor}"
                  close 1e-6 0.0 (measure.Between (Rng.ofSeed 0L) batch.Data batch.Data) "a sample and itself"
                  let features = FeatureClassifier.features classifier batch.Data
                  holds (features.Shape = [| 800; FeatureClassifier.featureCount |]) (features.Describe())
                  // Passes of other sizes round otherwise, no more.
                  let few = FeatureClassifier.features classifier (Tensor.narrow 0 7 3 batch.Data)
                  close
                      1e-4
                      0.0
                      ((Tensor.maxOver [ 0; 1 ] (abs (few - features[7..9]))).ToFloat())
                      "features of a sample are its own")

          testCase "data without labelled images has no classifier, and is told so"
          <| fun () ->
              let refused name dataset =
                  raises<UserError, _>(fun () -> FeatureClassifier.train silent 0L dataset)
                  |> names [ name; "labelled images" ]
              refused "moons" (Datasets.load "moons")
              let images = Tensor.zeros Kind.Float32 [ 20; 1; 8; 8 ]
              refused "plain" (Dataset.ofSamples "plain" "" "plain" images None)
              let labels = Some(Tensor.zeros Kind.Int64 [ 20 ])
              refused "tiny" (Dataset.ofSamples "tiny" "" "tiny" (Tensor.zeros Kind.Float32 [ 20; 1; 2; 8 ]) labels)
              let classifier = FeatureClassifier.train silent 0L (pictures 5L 300)
              raises<TensorException, _>(fun () -> FeatureClassifier.features classifier images[0])
              |> names [ "pictures"; "[1; 8; 8]" ]

          full (
              testCase "the classifier of Fashion-MNIST is right more than 88 times in a hundred"
              <| fun () ->
                  let data = Datasets.load "fashion-mnist"
                  let classifier = FeatureClassifier.train silent 0L data
                  // 10,000 pictures: a standard error of 0.3 %.
                  holds (classifier.Accuracy > 0.88) $"accuracy {classifier.Accuracy}"
          ) ]
