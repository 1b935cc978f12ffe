namespace Fokker

/// The methods that learn a map along the flow, as losses by name.
[<RequireQualifiedAccess>]
module MapEntries =

    let private timesList: PartList<Times> =
        { Name = "times"
          Setting = Some Setting.Times
          One = "law of times"
          Many = "laws of times"
          Parts = Times.parts }

    let private setting path teacher times steps trace : MapSetting =
        { Path = path; Teacher = teacher; Times = times; Steps = steps; Trace = trace }

    /// A method on the straight path: what is said of it without a training is said of that.
    let private shown (method: MapMethod) (numbers: float list) : MapMatching =
        let teacher =
            if method.Teacher = TeacherNeed.Always then
                Some(Model.make Path.condOT Prediction.velocity (fun _ _ x -> x))
            else
                None

        method.Make (setting Path.condOT teacher Times.uniform 1L Trace.exact) numbers

    let all: Part<LossEntry> list =
        [ for method in MapMethods.all ->
              let times = timesList.Parse method.Times
              let isTaught = method.Teacher = TeacherNeed.Always

              Part.leaving method.Numbers (fun numbers ->
                  let m = shown method numbers
                  let own = MapMatching.objective m

                  let needs =
                      let needs = MapMatching.needs m

                      if method.Teacher = TeacherNeed.Optional then
                          needs.Replace("no teacher", "a teacher or none")
                      else
                          needs

                  LossEntry.make
                      m.Name
                      method.Summary
                      $"{own.Equation}; {needs}"
                      m.Reference
                      [ match method.Teacher with
                        | TeacherNeed.Always
                        | TeacherNeed.Optional -> Setting.Teacher, None
                        | TeacherNeed.Never -> ()
                        match method.Path with
                        | MethodPath.Open name -> Setting.Path, Option.map PartName.plain name
                        | MethodPath.Given -> ()
                        if m.Pairs.UsesTimes then
                            Setting.Times, Some times ]
                      (fun parts ->
                          let teacher =
                              match method.Teacher with
                              | TeacherNeed.Always -> Some(LossEntry.teacherOf m.Name parts)
                              | TeacherNeed.Optional -> parts.Teacher
                              | TeacherNeed.Never -> None

                          let path =
                              match teacher with
                              | Some teacher when isTaught -> teacher.Path
                              | _ -> parts.Path

                          let made =
                              method.Make
                                  (setting path teacher parts.Times parts.Steps (LossEntry.trace parts))
                                  numbers

                          if made.Guidance.IsSome && not parts.HasNull then
                              refuseWith
                                  Setting.Loss
                                  m.Name
                                  $"guidance inside the target is between a class and none, and this network is to know no such two"
                                  $"""train with {Setting.Labels.Is "on"} and {Setting.LabelDropout.Is 0.1}, or leave omega and kappa out"""

                          MapMatching.objective made)) ]

    /// Maps of two times without a teacher, by name: what they say is what they are to say next.
    let selfTaught: string list =
        [ for method, entry in List.zip MapMethods.all all do
              let m = shown method [ for number in method.Numbers -> number.Default ]

              if method.Teacher = TeacherNeed.Never && m.Form.IsMeanVelocity then
                  entry.Name ]
