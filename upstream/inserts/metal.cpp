// Copyright © 2026 the mlx-topk authors. MIT licence.

MTL::ComputePipelineState* get_topk_kernel(
    metal::Device& d,
    const std::string& kernel_name,
    const std::string& instantiation) {
  auto lib = d.get_library(kernel_name, [&]() {
    std::ostringstream source;
    source << metal::topk() << "instantiate_kernel(\"" << kernel_name << "\", "
           << instantiation << ")\n";
    return source.str();
  });
  return d.get_kernel(kernel_name, lib);
}
